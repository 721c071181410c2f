"""Whether this installation works, for programs: whether a process answers, whether it is ready, and figures of it.

They are answered before all else that reads a request: a probe knows no name of the site, and has no session.
"""
