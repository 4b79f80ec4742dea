#!/bin/bash
# Gives the simple auth manager the password of the user admin, then becomes the API server.
set -euo pipefail

: "${AIRFLOW_ADMIN_PASSWORD:?set the password of the Airflow user admin}"
: "${AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE:?set the file that the auth manager reads passwords from}"

umask 077
python -c 'import json, os; print(json.dumps({"admin": os.environ["AIRFLOW_ADMIN_PASSWORD"]}))' \
    > "${AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE}"
unset AIRFLOW_ADMIN_PASSWORD

exec airflow api-server --host 0.0.0.0 --port 8080
