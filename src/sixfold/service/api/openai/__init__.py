"""`/v1`: files, fine-tuning jobs and models in the shapes of OpenAI, as the stock client asks for them."""
