#!/bin/sh
# As the images of MySQL and MariaDB: MYSQL_ROOT_PASSWORD and MYSQL_DATABASE say what the first start sets up.
set -eu
data=/var/lib/mysql
if [ ! -d "$data/mysql" ]; then
    mariadb-install-db --no-defaults --datadir="$data" --auth-root-authentication-method=normal --skip-test-db >/dev/null
fi
{
    echo "CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;"
    echo "CREATE USER IF NOT EXISTS root@'%' IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';"
    echo "GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;"
    echo "ALTER USER root@localhost IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';"
} >/tmp/init.sql
exec mariadbd --no-defaults --datadir="$data" --socket=/var/run/mysqld/mysqld.sock --tmpdir=/tmp \
    --init-file=/tmp/init.sql --performance-schema=OFF --innodb-buffer-pool-size=32M
