"""The resync: find where OmniChat and Stripe disagree, and mend it. docs/resync.md tells of all.

`reading` fetches Stripe's lists into a `scratch` file, `comparing` walks OmniChat's users in pages, `kinds` names what
differs, `repairing` writes. `run` does one after the other, and goes on after a kill.
"""
