"""Why a prediction: attributions of raw columns, in NumPy alone, beside the server."""
