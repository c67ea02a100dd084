"""An application that does nothing wrong: it sleeps."""

import time

print("asleep", flush=True)
while True:
    time.sleep(60)
