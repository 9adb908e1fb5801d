"""Makes a site's databases and keys of the template: `site.py TEMPLATE SITE < settings`.

The settings (JSON): address, passwords (user to password), hosts (of nova-compute), bus (a transport URL). Ids of users,
projects, roles, services and endpoints are made anew, so that no two sites share one.
"""

import base64
import json
import os
import shutil
import sqlite3
import sys
import uuid

import bcrypt

DATABASES = ("keystone", "glance", "placement", "nova_api", "nova", "nova_cell0")
# Tables of Keystone whose ids are the site's own.
OWN = ("user", "project", "role", "service", "endpoint")


def keystone(database, settings):
    ids = {}
    for table in OWN:
        for (known,) in database.execute('SELECT id FROM "%s"' % table):
            if len(known) == 32:
                ids[known] = uuid.uuid4().hex
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        columns = [row[1] for row in database.execute('PRAGMA table_info("%s")' % table) if "CHAR" in row[2].upper()]
        for column in columns:
            for known, new in ids.items():
                database.execute('UPDATE "%s" SET "%s" = ? WHERE "%s" = ?' % (table, column, column), (new, known))
    database.execute("UPDATE endpoint SET url = replace(url, 'site.invalid', ?)", (settings["address"],))
    for user, password in settings["passwords"].items():
        crypted = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
        changed = database.execute(
            "UPDATE password SET password_hash = ? WHERE local_user_id IN (SELECT id FROM local_user WHERE name = ?)",
            (crypted, user),
        )
        if changed.rowcount != 1:
            sys.exit("the template has no user %s" % user)


def cells(database, directory, settings):
    def cell(name, known, bus, file):
        connection = settings["database"] % os.path.join(directory, file)
        made = database.execute(
            "INSERT INTO cell_mappings (created_at, uuid, name, transport_url, database_connection, disabled)"
            " VALUES (datetime('now'), ?, ?, ?, ?, 0)",
            (known, name, bus, connection),
        )
        return made.lastrowid

    cell("cell0", str(uuid.UUID(int=0)), "none:///", "nova_cell0.db")
    cell1 = cell("cell1", str(uuid.uuid4()), settings["bus"], "nova.db")
    for host in settings["hosts"]:
        database.execute(
            "INSERT INTO host_mappings (created_at, cell_id, host) VALUES (datetime('now'), ?, ?)", (cell1, host)
        )


def key():
    return base64.urlsafe_b64encode(os.urandom(32))


def main():
    template, site = sys.argv[1:]
    settings = json.load(sys.stdin)
    databases = os.path.join(site, "db")
    for name in DATABASES:
        path = os.path.join(databases, name + ".db")
        shutil.copyfile(os.path.join(template, name + ".db"), path)
        with sqlite3.connect(path) as database:
            if name == "keystone":
                keystone(database, settings)
            if name == "nova_api":
                cells(database, databases, settings)
        # Readers and the one writer don't wait for each other so; SQLite keeps this in the file.
        database.execute("PRAGMA journal_mode = WAL")
        database.close()
    for folder, names in (("fernet", "01"), ("credential", "01")):
        os.makedirs(os.path.join(site, "keys", folder), mode=0o700)
        for name in names:
            with open(os.path.join(site, "keys", folder, name), "wb") as file:
                file.write(key())


main()
