"""HTTP: thin routes over the use cases. `/api/v1` is Sixfold's own, `/v1` is in the shapes of OpenAI."""
