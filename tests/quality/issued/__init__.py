"""Values as their issuers give them out. Nothing here knows a pattern of a detector."""
