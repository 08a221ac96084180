"""Many pictures: what is to be done, what was, the processes that do it, and writing files safely.

tree ── plan.py ──► names ── pool.py or cluster.py: encoding.py in processes ──► files, record.py
"""
