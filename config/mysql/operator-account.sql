-- The two MySQL accounts that mysql-takeover needs. Run once, on the primary, as an administrator; they replicate.
--   mysql --table < operator-account.sql
-- Prints both generated passwords: put them into the two Secrets that the MySQLCluster names.
-- For passwords of your own write IDENTIFIED BY '…'. That of `replication` may have 32 characters at most (a limit of
-- CHANGE REPLICATION SOURCE).
-- One statement a line, so that this also serves as --init-file.
-- For MySQL 8.4 and 9.x. On 8.0 replace SET_ANY_DEFINER by SET_USER_ID.

-- The operator. REQUIRE SSL: leave it out only where the MySQLCluster says tls.mode: Disabled.
CREATE USER IF NOT EXISTS 'mysql_takeover'@'%' IDENTIFIED BY RANDOM PASSWORD REQUIRE SSL;

-- SYSTEM_VARIABLES_ADMIN    read_only, super_read_only, semi-sync switches
-- REPLICATION_SLAVE_ADMIN   STOP/START/RESET REPLICA, CHANGE REPLICATION SOURCE
-- CONNECTION_ADMIN          a connection although max_connections is reached; KILL of client sessions
-- XA_RECOVER_ADMIN          prepared XA transactions pass super_read_only; they have to be seen
-- SET_ANY_DEFINER           events are enabled on the new primary with the definer that they have
GRANT SYSTEM_VARIABLES_ADMIN, REPLICATION_SLAVE_ADMIN, CONNECTION_ADMIN, XA_RECOVER_ADMIN, SET_ANY_DEFINER ON *.* TO 'mysql_takeover'@'%';
-- REPLICATION CLIENT        SHOW REPLICA STATUS, SHOW BINARY LOG STATUS
-- RELOAD                    RESET REPLICA ALL
-- PROCESS                   the sessions and transactions of other accounts
-- EVENT                     the list of events, and enabling them
GRANT REPLICATION CLIENT, RELOAD, PROCESS, EVENT ON *.* TO 'mysql_takeover'@'%';
-- Locks, sessions, replication threads. No table of yours can be read.
GRANT SELECT ON performance_schema.* TO 'mysql_takeover'@'%';
-- Ends sessions of accounts that hold SYSTEM_USER, too. Without it they stay connected to the old primary, read-only.
-- GRANT SYSTEM_USER ON *.* TO 'mysql_takeover'@'%';

-- The account that replicas log in with at their source.
CREATE USER IF NOT EXISTS 'replication'@'%' IDENTIFIED BY RANDOM PASSWORD REQUIRE SSL;
GRANT REPLICATION SLAVE ON *.* TO 'replication'@'%';
