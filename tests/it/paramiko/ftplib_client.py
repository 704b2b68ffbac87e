"""ftplib: every method it has, unmodified, over FTP or FTP_TLS."""

import ftplib
import io
import random
import ssl
import sys

host, port, user, password, tls, mode = sys.argv[1:]


def refused(code, call, *arguments):
    try:
        call(*arguments)
    except ftplib.error_perm as error:
        assert str(error).startswith(code), error
    else:
        raise AssertionError(f"{arguments} was not refused")


if tls == "tls":
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    ftp = ftplib.FTP_TLS(context=context, timeout=60)
else:
    ftp = ftplib.FTP(timeout=60)
ftp.connect(host, int(port))
ftp.login(user, password)
if tls == "tls":
    ftp.prot_p()
ftp.set_pasv(mode == "passive")
top = f"ftplib-{tls}-{mode}"
assert ftp.mkd(top) == f"/{top}"
ftp.cwd(top)
assert ftp.pwd() == f"/{top}"
noise = random.Random(7).randbytes(5_000_000)

assert ftp.storbinary("STOR f", io.BytesIO(noise)).startswith("226")
got = io.BytesIO()
assert ftp.retrbinary("RETR f", got.write).startswith("226")
assert got.getvalue() == noise
assert ftp.size("f") == len(noise)

# From an offset, both ways.
got = io.BytesIO()
ftp.retrbinary("RETR f", got.write, rest=1_234_567)
assert got.getvalue() == noise[1_234_567:]
ftp.storbinary("STOR part", io.BytesIO(noise[:1_000_000]))
ftp.storbinary("STOR part", io.BytesIO(noise[1_000_000:]), rest=1_000_000)
got = io.BytesIO()
ftp.retrbinary("RETR part", got.write)
assert got.getvalue() == noise
ftp.storbinary("APPE part", io.BytesIO(b"more"))
assert ftp.size("part") == len(noise) + 4

# Lines of text.
ftp.storlines("STOR text", io.BytesIO(b"one\ntwo\nthree\n"))
lines = []
ftp.retrlines("RETR text", lines.append)
assert lines == ["one", "two", "three"], lines

assert sorted(ftp.nlst()) == ["f", "part", "text"], ftp.nlst()
entries = dict(ftp.mlsd(facts=["type", "size", "modify"]))
assert entries["f"]["size"] == str(len(noise)), entries
assert entries["f"]["type"] == "file" and len(entries["f"]["modify"]) >= 14
listed = []
ftp.dir(listed.append)
assert len([line for line in listed if line.endswith((" f", " part", " text"))]) == 3, listed

ftp.rename("f", "renamed")
refused("550", ftp.size, "f")
ftp.delete("renamed")
refused("550", ftp.delete, "renamed")
ftp.mkd("d")
refused("550", ftp.rmd, "nothing")
ftp.rmd("d")
assert ftp.sendcmd("NOOP").startswith("200")
assert ftp.voidcmd("TYPE I").startswith("200")

# A transfer that is given up.
ftp.voidcmd("TYPE I")
connection = ftp.transfercmd("RETR part")
assert connection.recv(1) == noise[:1]
if ftp.abort().startswith("426"):
    # The reply about the transfer; that about ABOR follows.
    assert ftp.getresp().startswith("226")
connection.close()
assert ftp.sendcmd("NOOP").startswith("200")

empty = io.BytesIO()
ftp.storbinary("STOR empty", io.BytesIO())
ftp.retrbinary("RETR empty", empty.write)
assert empty.getvalue() == b""
for name in ("part", "text", "empty"):
    ftp.delete(name)
ftp.cwd("..")
ftp.rmd(top)
assert ftp.quit().startswith("221")
