"""The routes of a language model, in the shapes of OpenAI's API."""
