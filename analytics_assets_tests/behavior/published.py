"""Published series whose analyses are known.

``ANGLESEA``: Anglesea, Hoch and Taylor (2008); ``LAMBERT``: Lambert, Cartledge, Heward and Lo
(2006), disruptive behaviour: examples 2 and 1 of Hedges, Pustejovsky and Shadish (2012), whose
results the R package scdhlm checks to six digits. A line a case, a dot where nothing was observed.
``SICILY``: acute coronary episodes in Sicily by month from January 2002 to November 2006 and the
standardised population, of Bernal, Cummins and Gasparrini (2017); smoking was banned in January
2005.
"""

from __future__ import annotations

import pandas as pd

from analytics_assets.domains.behavior.analysis.phases import PHASES

ANGLESEA = """
103.72 105.32 77.39 117.29 102.93 99.73 49.47 | 183.51 152.39 170.74 169.95 154.79 153.99 |
 97.34 57.45 67.82 107.71 103.72 90.16 93.35 | 153.19 149.2 149.2 142.02 143.62 176.33 173.94;
64 62.8 43.6 63.4 | 213.2 220.01 212.8 217.6 | 62.4 72.2 62.01 | 189.81 178.6 181.41;
24.02 26.38 29.92 23.62 | 84.65 89.76 83.46 89.76 | 30.71 41.73 29.92 33.86 | 84.25 78.74
"""
LAMBERT = """
7 9 8 6 7 4 5 10 | 2 0 . 1 0 0 | 3 8 8 6 10 10 10 8 | 3 4 1 3 2 4 0 1 0;
8 7 . 7 8 6 7 9 | 3 1 0 4 0 0 | 8 9 10 7 9 10 8 10 | 1 1 0 5 3 6 0 0 2;
10 . 6 . 6 9 6 10 | . 0 1 1 0 0 | 5 7 10 . 5 10 9 10 | 4 6 5 7 0 0 0 1 .;
10 . 6 4 8 8 9 10 | 3 6 0 0 . 1 | 3 8 10 . 10 10 10 5 | 6 1 5 0 . . 0 0 1;
10 6 9 4 5 9 6 10 9 9 | 4 3 4 4 1 0 | 3 5 8 10 10 10 6 | 3 0 2 4 1 0 1 3 0 1 0;
7 4 5 . . 7 8 4 8 8 | 0 0 0 0 . . | 5 7 6 4 . 6 5 | . 0 0 0 2 0 0 . 0 0 0;
6 . 6 . . 8 9 10 9 8 | 0 1 2 1 1 0 | 2 4 4 5 8 8 7 | 1 0 2 . 1 0 1 0 . 1 0;
8 1 4 6 6 7 8 8 0 2 | 0 . 0 0 2 6 | 5 6 5 8 4 0 2 | 1 2 6 0 2 0 1 1 . . .;
9 5 4 2 3 10 4 10 8 8 | 0 2 1 3 0 0 | . 3 0 2 7 7 2 | 0 . 1 0 2 2 4 0 0 1 1
"""
_EPISODES = """
728 659 791 734 757 726 760 740 720 814 795 858 887 766 851 769 781 756 766 752 765 831 879 928
914 808 937 840 916 828 845 818 860 839 887 886 831 796 833 820 877 758 767 738 781 843 850 908
1021 859 976 888 962 838 810 876 843 936 912
"""
_POPULATION = """
379875.3 376495.5 377040.8 377116.4 377383.4 374113.1 379513.3 376295.5 374653.2 378485.6 375955.5
378349.7 376762.4 379032.3 379360.4 376162 377972.4 381830.7 379888.6 380872.2 380966.9 381240.4
382104.9 381802.7 381656.3 383680 383504.2 386462.9 383783.1 380836.8 383483 380906.2 382926.8
384052.4 384449.6 383428.4 388153.2 388373.2 386470.1 386033.2 383686.4 385509.3 385901.9 386516.6
388436.5 383255.2 390148.7 385874.9 391613.6 391750.4 394005.6 391364.9 391664.6 389022.3 391878.5
388575.3 392989 390018.8 390712.3
"""


def cases(text: str) -> pd.DataFrame:
    """A row a case and session."""
    rows = []
    for case, line in enumerate(text.split(";")):
        session = 0
        for phase, part in zip(PHASES, line.split("|"), strict=False):
            for value in part.split():
                session += 1
                score = float("nan") if value == "." else float(value)
                rows.append((f"case {case}", session, phase, score))
    return pd.DataFrame(rows, columns=["case", "session", "phase", "score"])


def sicily() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "number": range(1, 60),
            "month": pd.date_range("2002-01-01", periods=59, freq="MS"),
            "episodes": [int(value) for value in _EPISODES.split()],
            "population": [float(value) for value in _POPULATION.split()],
        }
    )
