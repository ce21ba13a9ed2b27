export APP_CONF_VERSION=v3
export PG_BACKUP_VERSION="v1" # bump with the file

abra_backup_db() {
  export INSIDE=$(date) # in a function: abra reads exports at the start of a line
}
export HOST_NAME=$(hostname)
