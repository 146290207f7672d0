"""Whether a service of ours is well, for HEALTHCHECK: the image needs no curl.

python healthy.py URL    exits 0 if the page answers 200; prints what the page says
"""

import sys
import urllib.error
import urllib.request

try:
    with urllib.request.urlopen(sys.argv[1], timeout=4) as page:  # noqa: S310  a URL of docker-compose.yml
        words, status = page.read(500), 0
except urllib.error.HTTPError as error:
    words, status = error.read(500), 1
except OSError as error:
    words, status = f"{sys.argv[1]} does not answer: {error}\n".encode(), 1
sys.stdout.buffer.write(words)
sys.exit(status)
