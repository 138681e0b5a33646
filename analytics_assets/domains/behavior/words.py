"""Words of the experiment that both its tables and its pages know.

Belongs here: plain names.
Does not belong here: what a value may be (``columns.py``).
"""

PHASES = ("baseline_1", "intervention_A_1", "baseline_2", "intervention_A_2")
