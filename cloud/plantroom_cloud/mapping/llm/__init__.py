"""The LLM mapper: asks an OpenAI-compatible endpoint what the offline mapping is unsure of.

::

    questions ──► cache (memory, database) ──► Asker: batches, bounded, in time, within budget
                                                 └─ Endpoint: one call, retries, repair, breaker
                                                      └─ prompt: what is sent, what counts as answer

Point names are attacker-writable. They go out as JSON data, and the worst that they can do is to
get their own template a wrong class out of its own choices: the answer is an object of one
enumeration per id that we made up, checked here whatever the endpoint claims to enforce.
"""

from __future__ import annotations

from plantroom_cloud.kit.deadlines import Deadline
from plantroom_cloud.mapping.llm.asker import Asker, Outcome
from plantroom_cloud.mapping.llm.endpoint import Endpoint, LlmUnavailable

__all__ = ["Asker", "Deadline", "Endpoint", "LlmUnavailable", "Outcome"]
