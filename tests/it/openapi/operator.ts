// What an operator does, by a client that was made from the description of the port for operators: URL TOKEN
import assert from 'node:assert'
import createClient from 'openapi-fetch'
import type { paths } from './operators.js'

const [, , baseUrl, token] = process.argv
const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } })

function come<T>(answer: { data?: T; error?: unknown; response: Response }): NonNullable<T> {
  assert(answer.data, `${answer.response.status} ${JSON.stringify(answer.error)}`)
  return answer.data
}

const acme = { path: { tenant: 'acme' } }
const ann = { path: { tenant: 'acme', user: 'ann' } }

const quota = { quota_bytes: 1_000_000 }
assert.equal(come(await client.POST('/api/v1/tenants', { body: { name: 'acme', ...quota } })).name, 'acme')
const tenants = come(await client.GET('/api/v1/tenants', { params: { query: { limit: 1000 } } }))
assert(tenants.items.some((tenant) => tenant.name === 'acme'))
const kept = await client.PATCH('/api/v1/tenants/{tenant}', { params: acme, body: { retention_seconds: 60 } })
assert.equal(come(kept).retention_seconds, 60)

const account = { user: 'ann', password: 'a good secret', ceiling: 'read-only' }
const added = await client.POST('/api/v1/tenants/{tenant}/accounts', { params: acme, body: account })
assert.equal(come(added).login, 'ann@acme')
assert.equal(come(added).id, 1)
const changed = await client.PATCH('/api/v1/tenants/{tenant}/accounts/{user}', {
  params: ann,
  body: { disabled: true, quota_files: 3 },
})
assert.deepEqual([come(changed).disabled, come(changed).quota_files], [true, 3])
const password = await client.PUT('/api/v1/tenants/{tenant}/accounts/{user}/password', {
  params: ann,
  body: { password: 'another good secret' },
})
assert.equal(password.response.status, 204)

const group = await client.POST('/api/v1/tenants/{tenant}/groups', { params: acme, body: { name: 'team' } })
assert.equal(group.response.status, 201)
const grant = { group: 'team', path: '/shared', rights: 'read-only' }
const given = await client.PUT('/api/v1/tenants/{tenant}/grants', { params: acme, body: grant })
assert.equal(given.response.status, 201)
const query = { group: 'team', path: '/shared' }
const taken = await client.DELETE('/api/v1/tenants/{tenant}/grants', { params: { ...acme, query } })
assert.equal(taken.response.status, 204)

const hook = await client.POST('/api/v1/tenants/{tenant}/webhooks', {
  params: acme,
  body: { name: 'hook', url: 'https://1.1.1.1/', events: ['file.stored'] },
})
const { id, secret } = come(hook)
assert(secret.startsWith('whsec_'))
const sent = await client.GET('/api/v1/tenants/{tenant}/webhooks/{webhook}/deliveries', {
  params: { path: { tenant: 'acme', webhook: id }, query: { state: 'dead' } },
})
const told: unknown = come(sent).items[0]?.data['path']
assert.equal(told, undefined)

const deleted = await client.GET('/api/v1/tenants/{tenant}/deleted', { params: { ...acme, query: { path: '/', limit: 1 } } })
assert.deepEqual(come(deleted).items, [])

const records = await client.GET('/api/v1/tenants/{tenant}/audit', { params: { ...acme, query: { kind: 'account-add' } } })
assert.equal(come(records).items.length, 1)
assert.equal(come(records).items[0]?.user, null)
console.log('done')
