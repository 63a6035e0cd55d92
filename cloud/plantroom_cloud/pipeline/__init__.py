"""The BMS pipeline as jobs: select → group → analyse → map → score → publish, in chunks.

What is to be done stands in the database alone. A worker takes a chunk with a lease, does it and
enters what it brought in one transaction; whoever dies is replaced when the lease has run out, and
what a worker brings whose lease was given to another is thrown away. Hence a chunk counts once,
whoever did it how often.
"""
