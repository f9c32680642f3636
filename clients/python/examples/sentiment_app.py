"""The demo's sentiment API without Envoy, and without a service: the policy engine runs in this process.

POLICY=policy.yaml PEPPER=pepper waitress-serve --listen 127.0.0.1:8000 sentiment_app:app
"""

import os
from pathlib import Path

from tidegate.demo.app import create_app
from tidegate_client import LocalPolicySync, TidegateWsgi

pepper = Path(os.environ.get("PEPPER", "pepper")).read_bytes().strip()
gate = LocalPolicySync(os.environ.get("POLICY", "policy.yaml"), key_pepper=pepper)
app = create_app()
app.wsgi_app = TidegateWsgi(app.wsgi_app, gate=gate, unguarded=["/healthz"])
