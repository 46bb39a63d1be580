"""Step 6 of language models: what is connected, how to cut, how important; and fewer bits."""
