"""The numbered assertions of ``docs/sync-v1.md``, word for word: a test compares the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Side = Literal["gateway", "cloud"]


@dataclass(frozen=True, slots=True)
class Assertion:
    """One sentence that can be seen to hold or to fail on the wire."""

    id: str
    side: Side
    text: str


def _table(side: Side, rows: dict[str, str]) -> tuple[Assertion, ...]:
    return tuple(Assertion(f"SV1-{name}", side, text) for name, text in rows.items())


GATEWAY: Final = _table(
    "gateway",
    {
        "T-01": "A gateway MUST publish only on the up-channels of chapter 2 below its own id.",
        "T-02": "A gateway MUST publish with QoS 1.",
        "T-03": "A gateway MUST NOT set the retain flag.",
        "T-04": "A gateway MUST leave a will: a `state` with `online` false.",
        "T-05": "A gateway MUST connect again by itself, within 60 s once the broker can be reached.",
        "P-01": "Every payload MUST be one JSON object, UTF-8, gzipped, with `v` = 1.",
        "P-02": "No payload may exceed 122,880 bytes on the wire or 4,194,304 bytes inflated.",
        "P-03": "A gateway MUST ignore down-messages that it cannot understand, and go on.",
        "M-01": "Every `hello` MUST have the keys of chapter 4.1, each within its type and range.",
        "M-02": "Every `inv` message MUST have the keys of chapter 4.2.",
        "M-03": "Every message of samples MUST have the keys and columns of chapter 4.3.",
        "M-04": "Every message of findings MUST have the keys of chapter 4.4.",
        "M-05": "Every message of records MUST have the keys of chapter 4.5.",
        "M-06": "Every gap record MUST have the keys of chapter 4.6.",
        "M-07": "Every snapshot MUST have the keys and columns of chapter 4.7.",
        "M-08": "Every `state` MUST have the keys of chapter 4.8.",
        "R-01": "Order numbers of an epoch and stream MUST have no holes: each is sent, or its gap.",
        "R-02": "A row MUST never change once it was sent: the same number means the same row.",
        "R-03": "A gateway MUST draw a new epoch at every start of its process.",
        "R-04": "A gateway MUST send the rows of earlier epochs that it still holds.",
        "H-01": "The first message after every connect MUST be `hello`.",
        "H-02": "A gateway MUST send no rows, no `inv` and no `now` before the resume of its session.",
        "H-03": "A gateway MUST draw a new `session` for every connect.",
        "H-04": "A gateway MUST repeat an unanswered `hello` with the same session within 30 s.",
        "H-05": "A gateway MUST ignore a resume of another session.",
        "H-06": "`hello` MUST name every row that was sent and never acked as held.",
        "H-07": "A gateway MUST NOT send messages all of whose rows the resume names.",
        "H-08": "A gateway MUST send every row that its `hello` holds and the resume does not name.",
        "H-09": "A gateway MUST ignore what a resume says of rows that its `hello` does not name.",
        "H-10": "A gateway MUST use the channels now, cmd, aud and fill only where `takes` names them.",
        "D-01": "A gateway MUST send the aliases that rows need before those rows.",
        "D-02": "A dictionary MUST grow without holes, and an alias MUST never change its meaning.",
        "D-03": "After need_dict a gateway MUST send the dictionary from `have` on, then the rows.",
        "D-04": "Every point MUST name a device that was described in the same or an earlier chunk.",
        "A-01": "A gateway MUST send a message that is not acked again, the first time within 30 s.",
        "A-02": "A gateway MUST NOT send acked messages again in the same session.",
        "A-03": "A partial ack MUST NOT confirm the other rows of the message: they are sent again.",
        "A-04": "An ack of rows that were not sent in this session MUST have no effect on them.",
        "A-05": "A gateway MUST take repeated acks and acks of foreign epochs without harm.",
        "N-01": "A message refused with fork or schema MUST NOT be sent again in the same session.",
        "N-02": "Rows refused with fork or schema MUST stay held and be named in the next `hello`.",
        "N-03": "A refused message MUST NOT keep other messages from being sent.",
        "L-01": "At most 16 messages of rows may be unacked, or `window` of the last flow.",
        "L-02": "Samples up to `accepted` of `hello` MUST go on `fill` where it is taken, later ones on `tel`.",
        "L-03": "Samples of one epoch MUST be sent for the first time in ascending order per channel.",
        "F-01": "A gateway MUST send no rows while a pause lasts, from one second after the flow on.",
        "F-02": "A gateway MUST go on by itself within 10 s after a pause has ended.",
        "F-03": "A gateway MUST keep to `window`, once the messages under way before it are answered.",
        "F-04": "A gateway MUST ignore a flow with values outside their range.",
        "G-01": "A gap record MUST carry a signature that the certificate in `hello` verifies.",
        "S-01": "A row of a snapshot MUST be the row that comes, or came, under its number.",
        "C-01": "A connected gateway MUST send `state` at least every 30 s.",
        "C-02": "A gateway that ends in order MUST send `state` with `online` false last.",
        "V-01": "A gateway MUST ignore keys that it does not know.",
        "V-02": "A gateway MUST ignore down-channels and kinds of nack that it does not know.",
    },
)
CLOUD: Final = _table(
    "cloud",
    {
        "T-11": "The cloud MUST answer on the down-channels of chapter 2, with QoS 1, not retained.",
        "P-11": "Every answer MUST be one JSON object, UTF-8, gzipped, with `v` = 1, within the limits.",
        "P-12": "The cloud MUST take what it cannot understand without harm to what comes after it.",
        "M-11": "Every `resume` MUST have the keys of chapter 4.9.",
        "M-12": "Every ack MUST have the keys of chapter 4.10.",
        "M-13": "Every nack MUST have the keys of chapter 4.11.",
        "M-14": "Every `flow` MUST have the keys of chapter 4.12.",
        "H-11": "The cloud MUST answer every `hello` with a resume of its session within 30 s.",
        "H-12": "A resume MUST name every epoch of the `hello`, once.",
        "H-13": "A resume MUST name of each epoch the rows that were acked, and no others.",
        "H-14": "A resume MUST name only `evt`, `tel` and streams that the `hello` names for that epoch.",
        "H-15": "A resume MUST give back `at` of the `hello` as `hello_at`.",
        "H-16": "A resume MUST name in `dictionary` how many aliases of the epoch were acked.",
        "D-11": "The cloud MUST ack a dictionary chunk with `inv`, as positions from 1.",
        "D-12": "The cloud MUST answer a chunk that leaves aliases out with need_dict and `have`.",
        "D-13": "The cloud MUST answer rows with unknown aliases with need_dict, and not ack them.",
        "D-14": "The cloud MUST answer a chunk that gives an alias another meaning with fork.",
        "A-11": "The cloud MUST ack every row that it took, within 30 s.",
        "A-12": "The cloud MUST NOT ack rows that were never sent.",
        "A-13": "The cloud MUST ack rows that come again.",
        "A-14": "The cloud MUST take rows in any order.",
        "A-15": "The cloud MUST ack findings, records and gap records as it acks samples.",
        "A-16": "The cloud MUST ack a message with bad rows whole: good rows stored, bad ones quarantined.",
        "N-11": "The cloud MUST answer other rows under numbers it has with fork, and not ack them again.",
        "S-11": "The cloud MUST NOT ack a snapshot.",
        "V-11": "The cloud MUST ignore keys that it does not know.",
        "V-12": "The cloud MUST ignore streams in `accepted` and `held` that it does not know.",
    },
)
