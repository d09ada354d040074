-- Who signed the certificate that did not verify: it names the interceptor.

ALTER TABLE verdicts $on_cluster ADD COLUMN IF NOT EXISTS issuer LowCardinality(String);
