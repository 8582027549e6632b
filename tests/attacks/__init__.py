"""Messages of a hostile client, as raw bytes; each attack with its defence, and the proof that the defence is needed.

``python -m tests.attacks`` takes each defence out and requires its tests to fail; ``--write`` makes docs/security.md's
table.  ``make fuzz`` drives the server with broken and hostile messages for as long as one likes.
"""
