// Uploads a file with tus-js-client: URL LOGIN FILE PATH CHUNK PARALLEL ABORT_AFTER
// ABORT_AFTER: bytes after which the upload is broken off, and gone on with by another upload object.
const [modules, url, login, file, path, chunk, parallel, abortAfter] = process.argv.slice(2)
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
const fs = require('fs')
const tus = require(`${modules}/tus-js-client`)

// Parts know their own sizes.
const size = Number(parallel) > 1 ? {} : { uploadSize: fs.statSync(file).size }
const options = {
  ...size,
  endpoint: url,
  headers: { Authorization: 'Basic ' + Buffer.from(login).toString('base64') },
  // A bare name is what links take.
  metadata: { filename: path.split('/').pop(), filetype: 'application/octet-stream', ...(path.includes('/') ? { path } : {}) },
  chunkSize: Number(chunk) || Infinity,
  parallelUploads: Number(parallel),
  retryDelays: [100, 300, 1000, 1000, 1000],
  onError(error) {
    console.error(String(error))
    process.exit(1)
  },
}

function start(more) {
  const upload = new tus.Upload(fs.createReadStream(file), { ...options, ...more })
  upload.start()
  return upload
}

const done = () => console.log('done')
if (Number(abortAfter)) {
  let broken = false
  const first = start({
    onSuccess: done,
    onProgress(sent) {
      if (broken || sent < Number(abortAfter)) return
      broken = true
      first.abort().then(() => {
        console.log('broken off')
        start({ uploadUrl: first.url, onSuccess: done })
      })
    },
  })
} else {
  start({ onSuccess: done })
}
