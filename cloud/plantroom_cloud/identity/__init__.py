"""Companies and who may act for them: API keys now."""
