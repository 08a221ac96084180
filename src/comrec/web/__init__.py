"""`comrec serve`: a page in the browser that encodes photographs and shows what that does to them.

    page/ ── requests ──► guard ──► server ──► desks: photographs and jobs of one open page
                                      │           │
                                    views       crew: processes that do `tasks`, one at a time

What reads bytes of others runs in the processes of the crew alone. Nothing imports this package but
`comrec.cli.serve`, when it runs.
"""
