GRANT SELECT, INSERT, UPDATE, DELETE
    ON acme_accounts, acme_certificates, acme_failures, acme_challenges TO SERVER_ROLE;
