#!/bin/sh
pg_dump -U postgres forum > /var/lib/postgresql/data/backup.sql
