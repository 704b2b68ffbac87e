// What an account does, by a client that was made from the description of the API: URL LOGIN
import assert from 'node:assert'
import createClient from 'openapi-fetch'
import type { components, paths } from './public.js'

const [, , baseUrl, login] = process.argv
const basic = 'Basic ' + Buffer.from(login).toString('base64')
const client = createClient<paths>({ baseUrl, headers: { Authorization: basic } })

// What came must be there, and be what its type says.
function come<T>(answer: { data?: T; error?: unknown; response: Response }): NonNullable<T> {
  assert(answer.data, `${answer.response.status} ${JSON.stringify(answer.error)}`)
  return answer.data
}

async function files() {
  const at = { path: { path: 'in/a b.txt' } }
  const stored = await client.PUT('/api/v1/files/{path}', {
    params: { ...at, query: { parents: true } },
    headers: { 'Content-Type': 'application/octet-stream' },
    body: 'hello',
    bodySerializer: (bytes) => bytes,
  })
  const entry: components['schemas']['EntryView'] = come(stored)
  const kind: 'file' | 'folder' = entry.kind
  assert.deepEqual([kind, entry.size, entry.path], ['file', 5, '/in/a b.txt'])

  const names: string[] = []
  let cursor: string | null | undefined
  do {
    const query = cursor ? { limit: 1, cursor } : { limit: 1 }
    const page = come(await client.GET('/api/v1/folders', { params: { query } }))
    names.push(...page.items.map((item) => item.name))
    cursor = page.next
  } while (cursor)
  assert(names.includes('in'), names.join())
  const inside = await client.GET('/api/v1/folders/{path}', { params: { path: { path: 'in' } } })
  assert.equal(come(inside).items[0].etag, entry.etag)

  const got = await client.GET('/api/v1/files/{path}', { params: { ...at, query: { inline: true } }, parseAs: 'text' })
  assert.equal(come(got), 'hello')
  const altered = await client.PATCH('/api/v1/entries/{path}', { params: at, body: { mode: '600' } })
  assert.equal(come(altered).mode, '0600')
  const body = { from: '/in/a b.txt', to: '/in/b' }
  const copied = await client.POST('/api/v1/copy', { params: { header: { 'Idempotency-Key': 'once' } }, body })
  assert.equal(copied.response.status, 201)
  const query = { name: '*.txt', under: '/in' }
  assert.equal(come(await client.GET('/api/v1/search', { params: { query } })).items.length, 1)
  const packed = await client.GET('/api/v1/archive', {
    params: { query: { path: ['/in'], format: 'zip' } },
    parseAs: 'arrayBuffer',
  })
  assert(come(packed).byteLength > 5)

  const folder = { path: { path: 'in' } }
  const deleted = await client.DELETE('/api/v1/entries/{path}', { params: { ...folder, query: { recursive: true } } })
  assert.equal(deleted.response.status, 204)
  const gone = await client.GET('/api/v1/entries/{path}', { params: at })
  assert.equal(gone.response.status, 404)
  assert.equal(gone.error?.type, 'urn:sealift:problem:not-found')
}

async function links() {
  const params = { path: { path: 'out' } }
  assert.equal((await client.POST('/api/v1/folders/{path}', { params })).response.status, 201)
  const wanted = { path: '/out', kind: 'upload' as const, max_files: 2 }
  const link = come(await client.POST('/api/v1/shares', { body: wanted }))
  assert.equal(link.kind, 'upload')
  const by = { path: { token: link.token } }
  const info = come(await createClient<paths>({ baseUrl }).GET('/api/v1/shared/{token}', { params: by }))
  assert.equal(info.needs_password, false)
  const own = { path: { id: link.id } }
  const changed = await client.PATCH('/api/v1/shares/{id}', { params: own, body: { max_files: null } })
  assert.equal(come(changed).max_files, null)
  assert.equal((await client.DELETE('/api/v1/shares/{id}', { params: own })).response.status, 204)
}

async function tokens() {
  const body = { name: 'generated', scopes: ['account'], expires_in: 3600 }
  const made = come(await client.POST('/api/v1/tokens', { body }))
  const bearer = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${made.token}` } })
  assert.equal(come(await bearer.GET('/api/v1/me')).login, login.split(':')[0])
  const listed = come(await bearer.GET('/api/v1/tokens'))
  assert.deepEqual(listed.items.map((token) => token.id), [made.id])
  const params = { path: { id: made.id } }
  assert.equal((await client.DELETE('/api/v1/tokens/{id}', { params })).response.status, 204)
  assert.equal((await bearer.GET('/api/v1/me')).response.status, 401)
}

await files()
await links()
await tokens()
console.log('done')
