"""The demo's world, with nothing but Python's standard library: makes the database, counts what is left of it, and
changes one entry of a copied ledger the way someone with a database tool would."""

import pathlib
import sqlite3
import sys

verb, path = sys.argv[1:3]
db = sqlite3.connect(path)
if verb == "make":
    db.executescript(
        """
        CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, paid INTEGER);
        INSERT INTO customers (name, paid) VALUES ('Lovelace & Co', 1), ('Noether Ltd', 0), ('Hopper Inc', 1), ('Curie SA', 1), ('Meitner KG', 1);
        CREATE TABLE sessions (id INTEGER PRIMARY KEY, expired INTEGER);
        INSERT INTO sessions (expired) VALUES (0), (1), (1), (0);
        """
    )
    pathlib.Path(sys.argv[3]).write_text("\n".join(db.iterdump()), encoding="utf-8")
elif verb == "count":
    print(db.execute("SELECT (SELECT count(*) FROM customers) || ' ' || (SELECT count(*) FROM sessions)").fetchone()[0])
elif verb == "tamper":
    for (trigger,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f'DROP TRIGGER "{trigger}"')
    row = db.execute("SELECT idx, bytes FROM entries WHERE instr(CAST(bytes AS TEXT), '\"denial\"') ORDER BY idx LIMIT 1").fetchone()
    db.execute("UPDATE entries SET bytes = ? WHERE idx = ?", (row[1].replace(b'"outcome":"deny"', b'"outcome":"allow"').replace(b'"outcome":"step_up"', b'"outcome":"allow"'), row[0]))
    db.commit()
    print(row[0])
