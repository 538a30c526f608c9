"""The standard library modules that are asked about, under the names that people know.

A list and not a search, since importing some modules does things: `antigravity` opens a browser,
`readline` takes the terminal. Modules that Python has deprecated or removed since 3.11 are left
out, so that importing the others warns of nothing.
"""

from __future__ import annotations

_NAMES = """
builtins abc argparse array ast asyncio atexit base64 bdb binascii bisect bz2 calendar cmath cmd
code codecs codeop collections collections.abc colorsys compileall concurrent.futures configparser
contextlib contextvars copy copyreg csv ctypes ctypes.util curses curses.ascii curses.panel
curses.textpad dataclasses datetime dbm dbm.dumb decimal difflib dis doctest email email.charset
email.contentmanager email.encoders email.errors email.feedparser email.generator email.header
email.headerregistry email.iterators email.message email.mime.application email.mime.audio
email.mime.base email.mime.image email.mime.message email.mime.multipart email.mime.text
email.parser email.policy email.utils enum faulthandler fcntl filecmp fileinput fnmatch fractions
ftplib functools gc getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html
html.parser http http.client http.cookiejar http.cookies http.server imaplib importlib
importlib.abc importlib.machinery importlib.metadata importlib.resources importlib.util inspect io
ipaddress itertools json keyword linecache locale logging logging.config logging.handlers lzma
mailbox marshal math mimetypes mmap modulefinder multiprocessing multiprocessing.connection
multiprocessing.managers multiprocessing.pool multiprocessing.shared_memory
multiprocessing.sharedctypes netrc numbers operator optparse os os.path pathlib pdb pickle
pickletools pkgutil platform plistlib poplib pprint profile pstats pty pwd py_compile pyclbr queue
quopri random re reprlib resource runpy sched secrets select selectors shelve shlex shutil signal
smtplib socket socketserver sqlite3 ssl stat statistics string stringprep struct subprocess
symtable sys sysconfig syslog tabnanny tarfile tempfile termios textwrap threading time timeit
tokenize tomllib trace traceback tracemalloc tty types typing unicodedata unittest unittest.mock
urllib.error urllib.parse urllib.request urllib.response urllib.robotparser uuid venv warnings
wave weakref webbrowser wsgiref.handlers wsgiref.headers wsgiref.simple_server wsgiref.util
wsgiref.validate xml.dom xml.dom.minidom xml.dom.pulldom xml.etree.ElementTree xml.parsers.expat
xml.sax xml.sax.handler xml.sax.saxutils xml.sax.xmlreader xmlrpc.client xmlrpc.server zipapp
zipfile zipimport zlib zoneinfo
"""
MODULES = tuple(_NAMES.split())
