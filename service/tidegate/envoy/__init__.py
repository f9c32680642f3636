"""The only room with Envoy's protobufs: Check (ext_authz) and Process (ext_proc)."""
