-- Folders that got a name which is not temporary any more: each file below is told as stored, part by part.

-- number: that of the line in the audit log that renamed it. seq: the change, after which the tree is looked at.
-- node: the folder, or one below it. path, from_path: where that is, and was. done_to: the last name in it that
-- is done. data: what is said of each of the files, as JSON.
CREATE TABLE told_folders (
    tenant BIGINT NOT NULL,
    number BIGINT NOT NULL,
    node BYTES NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    path TEXT NOT NULL,
    from_path TEXT NOT NULL,
    done_to NAME NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (tenant, number, node)
);

-- made: the change that made the empty file for this lock, if one did. Others are told of the file when somebody
-- puts something there.
ALTER TABLE locks ADD COLUMN made BIGINT;
