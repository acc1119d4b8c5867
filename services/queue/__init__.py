"""The queue between processes: names, messages, and the side that sends.

Messages go through Celery to one Redis list a role. Results of stages come back through a list of the process that
asked, which one task of its event loop reads: no thread waits, and there is no result backend to poll.
"""
