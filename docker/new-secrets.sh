#!/bin/bash
# Prints the secrets that docker-compose.yml asks for, freshly drawn: docker/new-secrets.sh > .env
set -euo pipefail

hex() { head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
fernet() { head -c 32 /dev/urandom | base64 | tr '+/' '-_'; }

cat <<SECRETS
PLATFORM_CLICKHOUSE_PASSWORD=$(hex)
CLICKHOUSE_ANALYST_PASSWORD=$(hex)
AIRFLOW_POSTGRES_PASSWORD=$(hex)
AIRFLOW_ADMIN_PASSWORD=$(hex)
AIRFLOW_SECRET_KEY=$(hex)
AIRFLOW_JWT_SECRET=$(hex)$(hex)$(hex)
AIRFLOW_FERNET_KEY=$(fernet)
SECRETS
