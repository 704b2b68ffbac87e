"""What a session sees of the files that it has open, as on a disk; what others see of them."""

from connect import sftp


def refused(action):
    try:
        action()
    except OSError:
        return True
    return False


def names(client, folder="."):
    return sorted(client.listdir(folder))


mine, other = sftp(), sftp()

# Its own session sees a file in the making by name, in listings and when it opens it.
writer = mine.open("new", "wb")
writer.write(b"x" * 300_000)
writer.flush()
assert mine.stat("new").st_size == 300_000
assert mine.lstat("new").st_size == 300_000
assert [e.st_size for e in mine.listdir_attr(".") if e.filename == "new"] == [300_000]
assert refused(lambda: other.stat("new"))
assert "new" not in names(other)
with mine.open("new", "rb") as reader:
    assert reader.read() == b"x" * 300_000
    # What was opened for reading does not change.
    writer.write(b"y")
    writer.flush()
    assert reader.stat().st_size == 300_000
assert mine.stat("new").st_size == 300_001

# A second handle writes the same file; the first that is closed publishes it.
second = mine.open("new", "r+b")
second.seek(0)
second.write(b"second")
second.flush()
with mine.open("new", "rb") as reader:
    assert reader.read(7) == b"secondx"
assert refused(lambda: mine.open("new", "xb"))
writer.close()
assert other.stat("new").st_size == 300_001
second.write(b" more")
second.close()
with other.open("new", "rb") as reader:
    assert reader.read(12) == b"second morex"

# One that appends and one that does not.
log = mine.open("log", "ab")
log.write(b"one|")
log.flush()
patch = mine.open("log", "r+b")
patch.write(b"ONE")
patch.flush()
log.write(b"two|")
log.close()
patch.close()
assert other.open("log", "rb").read() == b"ONE|two|"

# Truncated through one handle, gone on with through the other.
first = mine.open("cut", "wb")
first.write(b"0123456789")
first.flush()
again = mine.open("cut", "wb")
first.write(b"AB")
first.close()
again.close()
assert other.open("cut", "rb").read() == b"\0" * 10 + b"AB"

# A name is given away while its file is open.
for published in (False, True):
    if published:
        with mine.open("from", "wb") as file:
            file.write(b"before")
    file = mine.open("from", "wb")
    file.write(b"open")
    file.flush()
    mine.rename("from", "to")
    assert refused(lambda: mine.stat("from"))
    assert mine.stat("to").st_size == 4
    file.write(b" and renamed")
    file.close()
    assert other.open("to", "rb").read() == b"open and renamed"
    assert "from" not in names(mine)
    mine.remove("to")

# Over a file that is open: what is written to that goes with it.
lost = mine.open("target", "wb")
lost.write(b"lost")
lost.flush()
with mine.open("source", "wb") as file:
    file.write(b"source")
assert refused(lambda: mine.rename("source", "target"))
mine.posix_rename("source", "target")
lost.write(b"lost")
lost.close()
assert other.open("target", "rb").read() == b"source"

# Deleted while it is open: it goes when it is closed.
for published in (False, True):
    if published:
        with mine.open("gone", "wb") as file:
            file.write(b"before")
    file = mine.open("gone", "wb")
    file.write(b"open")
    file.flush()
    mine.remove("gone")
    assert refused(lambda: mine.stat("gone"))
    file.write(b"still")
    assert file.stat().st_size == 9
    file.close()
    assert refused(lambda: mine.stat("gone"))
    assert "gone" not in names(other)

# A folder is not empty while a file is written in it, and takes the file along.
mine.mkdir("folder")
file = mine.open("folder/file", "wb")
file.write(b"inside")
file.flush()
assert names(mine, "folder") == ["file"]
assert refused(lambda: mine.rmdir("folder"))
mine.rename("folder", "moved")
assert mine.stat("moved/file").st_size == 6
file.close()
assert names(other, "moved") == ["file"]

# Times that are set before the file is closed stay.
file = mine.open("times", "wb")
file.write(b"x")
file.utime((1_000_000_000, 1_000_000_001))
assert mine.stat("times").st_mtime == 1_000_000_001
file.close()
assert other.stat("times").st_mtime == 1_000_000_001

# Holes, and lengths that are set.
file = mine.open("holes", "wb")
file.seek(100_000)
file.write(b"end")
file.truncate(200_000)
file.truncate(100_001)
file.close()
assert other.open("holes", "rb").read() == b"\0" * 100_000 + b"e"
