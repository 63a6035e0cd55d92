"""Companies and who may act for them: users, programs, keys; how they are let in and shut out."""
