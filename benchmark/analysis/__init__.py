"""From frames to tables: functions of DataFrames that touch no file, keep no state and draw no figure.

Start with speedup.py, which rests on curve.py (the baseline's loss curve) and residuals.py (the noise).
"""
