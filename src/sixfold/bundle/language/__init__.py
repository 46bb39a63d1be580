"""What answers for a language model: tokens, texts, and the engine that generates."""
