// SPDX-License-Identifier: Apache-2.0
// Owns which words of a conductor's recorded calls are secret, so that tests look for them where none may be.

/** The secret words of a recorded call: tokens, config drives, passwords, wherever they stand. */
export function secretsOf(value: unknown, key = ''): string[] {
  if (typeof value === 'string') {
    const inUrl = [...value.matchAll(/(?:agent_token|temp_url_sig)=([^&\s]+)/g)].map((m) => m[1])
    const isSecret =
      /^(agent_token|configdrive|rescue_password|agent_secret_token|Authorization)$/.test(key)
    return [...(inUrl as string[]), ...(isSecret && !/^\**$/.test(value) ? [value] : [])]
  }
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([inner, item]) => secretsOf(item, inner))
}

/** What must not be seen; it has what a token has and nothing that would have to be encoded. */
export const SECRET = 's3cretW0rd99x'

const base64 = (text: string) => Buffer.from(text).toString('base64')
const PAIR = base64(`user:${SECRET}`)
const TOKEN_BODY = Buffer.from(`{"sub":"${SECRET}"}`).toString('base64url')

/** All spellings of the secret that may be looked for in an output. */
export const SPELLINGS: readonly string[] = [SECRET, PAIR, TOKEN_BODY]

/** Every form in which a secret is known to come, as it stands in a text. */
export const SECRET_FORMS: Readonly<Record<string, string>> = {
  'a token as user of a url': `https://${SECRET}@host/image.raw`,
  'a token before a password': `https://${SECRET}:x-oauth-basic@host/image.raw`,
  'user and password of a url': `http://user:${SECRET}@host:8080/x`,
  'a password with a slash': `http://user:pa/${SECRET}@proxy:3128`,
  'a password with an at sign': `http://user:p@${SECRET}@proxy:3128/`,
  'a password with slash and digits first': `http://user:12/${SECRET}@proxy:3128`,
  'a password with a question mark': `http://user:p?${SECRET}@proxy:3128`,
  'a password with a hash': `http://user:#${SECRET}@proxy`,
  'a password with a blank': `http://user:pa ${SECRET}@proxy`,
  'a password with an at sign and a blank': `https://user:p@ss ${SECRET}@host`,
  'a password with an at sign in front of a blank': `https://user:${SECRET}@ word@host/x`,
  'a password with blanks': `http://user:a few words ${SECRET}@proxy:3128`,
  'a password with a quote': `http://user:it's${SECRET}@proxy:3128`,
  'a url with a port that is none': `http://user:${SECRET}@host:port/x`,
  'a url with half an IPv6 address': `http://user:${SECRET}@[::1/x`,
  'a proxy without scheme': `user:${SECRET}@proxy:3128`,
  'a url with escaped slashes': `https:\\/\\/user:${SECRET}@host\\/x`,
  'user info percent-encoded': `/get?url=https%3A%2F%2Fuser%3A${SECRET}%40host%2Fx&b=1`,
  'user info percent-encoded twice': `/get?url=https%253A%252F%252Fuser%253A${SECRET}%2540host%252Fx`,
  access_token: `https://host/x?a=1&access_token=${SECRET}&b=2`,
  'access_token percent-encoded': `/get?url=http%3A%2F%2Fh%2F%3Faccess_token%3D${SECRET}%26b%3D1`,
  'a name percent-encoded': `https://host/x?access%5Ftoken=${SECRET}`,
  'access_token in a url that does not parse': `http://[::1/x?access_token=${SECRET}`,
  'accessToken of a form': `grant=x&accessToken=${SECRET}`,
  'agent_token of a query': `/v1/commands/?wait=true&agent_token=${SECRET}`,
  'agent token of a kernel line': `ro ipa-agent-token=${SECRET} quiet`,
  'root password of a kernel line': `ro rootpwd=${SECRET} quiet`,
  'agent_token of JSON': `{"agent_token":"${SECRET}","a":1}`,
  'agent_token of JSON with blanks': `{ "agent_token" : "${SECRET} ${SECRET}" }`,
  'agent_token of pretty JSON': `{\n  "agent_token":\n  "${SECRET}"\n}`,
  'agent_token of JSON, escaped': `{\\"agent_token\\": \\"${SECRET}\\"}`,
  'agent_token of JSON, escaped twice': `\\\\\\"agent_token\\\\\\": \\\\\\"${SECRET}\\\\\\"`,
  'credentials for a registry': `podman pull --creds user:${SECRET} registry/x`,
  'credentials for a registry in a list': `["pull","--src-creds","user:${SECRET}"]`,
  'a quoted value behind an unquoted one': `password=abc;agent_token="${SECRET}"`,
  'a quoted value behind a comma': `password=abc,agent_token='${SECRET}'`,
  'JSON with blanks in a query': `http://h/?q={%22password%22: [%22a b%22, %22 ${SECRET}%22]}`,
  'JSON of a form': `q=%7B%0A+%22password%22%3A+%7B%0A++%22a%22%3A+%22${SECRET}%22%0A+%7D%0A%7D`,
  'a JSON password with a quote': `{"password":"a\\"${SECRET}","b":1}`,
  'a JSON password that is cut off': `{"password":"a\\"${SECRET}`,
  'a JSON password that is a number': `{"password": 12345, "rescue_password": "${SECRET}"}`,
  'a config drive as object': `{"configdrive":{"user_data":"${SECRET}","b":["}${SECRET}"]},"c":1}`,
  'agent_token of Python': `{'agent_token': u'${SECRET}', 'a': 1}`,
  'a password of INI': `image_server_password = ${SECRET}`,
  'a password of YAML': `rescue_password: ${SECRET}`,
  'a password flag': `curl --password ${SECRET} http://host/`,
  'a password flag of quotes': `curl --password "a ${SECRET}" http://host/`,
  'a password flag of a list': `["tool","--password","${SECRET}","x"]`,
  'a password flag of a list of Python': `['tool', '--password', '${SECRET}']`,
  'user and password of curl': `curl -u user:${SECRET} http://host/`,
  'user and password of curl, together': `curl -uuser:${SECRET} http://host/`,
  'user and password of curl, among others': `curl -fsSLu user:${SECRET} http://host/`,
  'user and password of curl, in quotes': `curl -u 'user:a ${SECRET}' http://host/`,
  'user and password of curl, together in quotes': `curl -u"user:a ${SECRET}" http://host/`,
  'user and password of curl, without a user': `curl -u :${SECRET} http://host/`,
  '--user of curl': `curl --user user:${SECRET} http://host/`,
  '--user of curl, with an equals sign': `curl --user=user:${SECRET} http://host/`,
  '--user of curl, in quotes': `curl --user "user:a ${SECRET}" http://host/`,
  '--user of a list': `["curl", "--user", "user:a ${SECRET}", "http://host/"]`,
  '--proxy-user of curl': `curl --proxy-user user:${SECRET} -U user:${SECRET} http://host/`,
  'a password at the end of a path': `https://host/v1/password: ${SECRET}`,
  'a token at the end of a path': `GET /v1/agent_token: "${SECRET}"`,
  'Authorization at the end of a path': `/v1/authorization: Own ${SECRET}`,
  'Authorization: Basic': `sent Authorization: Basic ${PAIR} to it`,
  'Authorization: Bearer': `sent authorization: bearer ${SECRET} to it`,
  'Authorization: Digest': `Authorization: Digest username="user", realm="r", response="${SECRET}"`,
  'Authorization: AWS4-HMAC-SHA256': `Authorization: AWS4-HMAC-SHA256 Credential=${SECRET}/x, Signature=${SECRET}`,
  'Authorization of an unknown scheme': `Authorization: Own a b ${SECRET}`,
  'Authorization of curl': `curl -H 'Authorization: Own "a" ${SECRET}' http://host/`,
  'Authorization of JSON': `{"Authorization":"Basic ${PAIR}"}`,
  'Proxy-Authorization': `Proxy-Authorization: Basic ${PAIR}`,
  image_request_authorization: `image_request_authorization=${SECRET}`,
  'Basic without a header': `the server wanted Basic ${PAIR}, not this`,
  'Bearer without a header': `the server wanted Bearer ${SECRET}, not this`,
  'Digest without a header': `Digest username="user", nonce="n", response="${SECRET}"`,
  api_key: `https://host/x?api_key=${SECRET}`,
  'X-Api-Key': `X-Api-Key: ${SECRET}`,
  'a JSON web token': `got eyJhbGciOiJIUzI1NiJ9.${TOKEN_BODY}.${SECRET} from it`,
  "a token of Keystone's": `got gAAAAABl${SECRET}${SECRET}${SECRET}== from it`,
  'X-Auth-Token': `X-Auth-Token: ${SECRET}`,
  'X-Subject-Token of JSON': `{"x-subject-token":"${SECRET}"}`,
  Cookie: `Cookie: a=${SECRET}; b="${SECRET}"`,
  'Set-Cookie': `Set-Cookie: session=${SECRET}; Path=/; HttpOnly`,
  'Cookie without name': `cookie: ${SECRET}`,
  CloudFront: `https://d.cloudfront.net/i?Policy=${SECRET}&Signature=${SECRET}&Key-Pair-Id=${SECRET}`,
  'CloudFront cookies': `Cookie: CloudFront-Policy=${SECRET}; CloudFront-Signature=${SECRET}`,
  S3: `https://s3/b/i?X-Amz-Credential=${SECRET}&X-Amz-Security-Token=${SECRET}&X-Amz-Signature=${SECRET}`,
  'S3, version 2': `https://s3/b/i?AWSAccessKeyId=${SECRET}&Signature=${SECRET}&Expires=1`,
  GCS: `https://storage/b/i?X-Goog-Credential=${SECRET}&X-Goog-Signature=${SECRET}`,
  Azure: `https://a.blob/c/i?sv=2022&se=2026&sp=r&sig=${SECRET}%3D`,
  'Azure, as Go spells JSON': `{"url":"https://a.blob/c/i?sv=2022\\u0026sig=${SECRET}\\u0026sp=r"}`,
  Swift: `https://swift/v1/a/c/o?temp_url_sig=${SECRET}&temp_url_expires=${SECRET}`,
  'passkey in the path of a tracker': `http://tracker/${SECRET}abcdef/announce`,
  'passkey in the path, with .php': `http://tracker/${SECRET}abcdef/announce.php?x=1`,
  'passkey behind announce': `http://tracker/announce/${SECRET}abcdef`,
  'passkey percent-encoded': `tr=http%3A%2F%2Ftracker%2F${SECRET}abcdef%2Fannounce`,
  'passkey of a query': `http://tracker/announce?passkey=${SECRET}&uploaded=0`,
  'a private key': `-----BEGIN EC PRIVATE KEY-----\n${SECRET}\n-----END EC PRIVATE KEY-----`,
}

/** The spellings of the secret that `text` holds. */
export function secretsIn(text: string): string[] {
  return SPELLINGS.filter((spelling) => text.includes(spelling))
}
