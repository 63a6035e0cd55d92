"""People's say about mappings: the queue, answers, the rules that follow, and the history."""
