"""Times data-diff over two databases by an integer key: prints seconds and the number of differing rows."""

import sys
import time

from data_diff import connect_to_table, diff_tables

columns = ("email", "status", "plan", "access_until", "cancel_at_period_end", "metadata", "created_at", "updated_at")
one, two = (connect_to_table(url, "subscriptions", "n", extra_columns=columns) for url in sys.argv[1:3])
started = time.monotonic()
found = {key for _, (key, *_rest) in diff_tables(one, two, threaded=True)}
print(time.monotonic() - started, len(found))
