import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { type Overrides, parse } from "../src/Config.ts"
import { parseListen } from "../src/WorkerFile.ts"
import { isLoopback } from "../src/SecuritySettings.ts"

const none: Overrides = { listen: undefined, store: undefined, workerId: undefined }
const defaults = { store: "sqlite:/state/worker.db", workerId: "here" }
const read = (text: string, overrides: Partial<Overrides> = {}) =>
  parse(text, "worker.yaml", { ...none, ...overrides }, defaults)
const mistakes = (text: string, overrides: Partial<Overrides> = {}) => {
  const parsed = read(text, overrides)
  return Result.isFailure(parsed) ? parsed.failure.mistakes.map(({ key, line }) => `${line} ${key}`) : []
}

const postgres = `
    system: postgres
    user: postgres
    database: postgres
    members:
      - { name: p, address: "127.0.0.1:5432" }
      - { name: s1, address: "127.0.0.1:5433" }
`

describe("a configuration", () => {
  it("may be empty, and then has every default", () => {
    const config = Result.getOrThrow(read(""))
    assert.deepStrictEqual(config.listen, { host: "127.0.0.1", port: 19080 })
    assert.deepStrictEqual(config.store, { _tag: "Sqlite", path: "/state/worker.db" })
    assert.strictEqual(config.workerId, "here")
    assert.strictEqual(config.maxHold, 900_000)
    assert.deepStrictEqual(config.clusters, [])
  })

  it("reads the witnesses of a cluster, and tells what is wrong with one where it stands", () => {
    const witnesses = `    witnesses:
      - { name: api, http: "https://api.example/health", every: 5s }
      - { name: orders, postgres: { address: "127.0.0.1:5432", user: app, database: app, statement: "select 1" } }
      - { name: shop, command: "curl -f shop", timeout: 500ms }
`
    const config = Result.getOrThrow(read(`clusters:\n  orders:${postgres}${witnesses}`))
    const [api, orders, shop] = config.clusters[0]!.witnesses
    assert.deepStrictEqual(api, { name: "api", http: "https://api.example/health", every: 5000, timeout: 2000 })
    assert.strictEqual(orders?.postgres?.statement, "select 1")
    assert.deepInclude(shop, { command: "curl -f shop", every: 1000, timeout: 500 })
    for (const wrong of [
      "{ name: api }",
      "{ name: api, http: 'http://a/', command: 'true' }",
      "{ name: api, http: 'ftp://a/' }",
      "{ name: api, command: 'true', every: 100ms }",
      "{ name: api, command: 'true', timeout: 1m }"
    ]) {
      const [mistake] = mistakes(`clusters:\n  orders:${postgres}    witnesses:\n      - ${wrong}\n`)
      assert.match(mistake ?? "", /^10 clusters\.orders\.witnesses/, wrong)
    }
    const twice = "    witnesses:\n      - { name: a, command: 'true' }\n      - { name: a, command: 'true' }\n"
    assert.lengthOf(mistakes(`clusters:\n  orders:${postgres}${twice}`), 1)
  })

  it("gives each cluster to the module of its system, with its own limits", () => {
    const config = Result.getOrThrow(read(`clusters:\n  orders:${postgres}    protected: true\n    maxHold: 30s\n`))
    const [orders] = config.clusters
    assert.strictEqual(orders!.module.system, "postgres")
    assert.deepInclude(orders, { name: "orders", protected: true, maxHold: 30_000 })
  })

  it("is overridden by the environment and flags", () => {
    const config = Result.getOrThrow(
      read("listen: 127.0.0.1:1\nstore: sqlite:/a\nworker: { id: file }", {
        listen: "[::1]:2",
        store: "sqlite:/b",
        workerId: "flag"
      })
    )
    assert.deepStrictEqual(
      [config.listen, config.store, config.workerId],
      [{ host: "::1", port: 2 }, { _tag: "Sqlite", path: "/b" }, "flag"]
    )
  })

  it("is refused for whatever would be found out only when members are out already", () => {
    const members = (...lines: ReadonlyArray<string>) =>
      `clusters:\n  locks:\n    system: etcd\n    members:\n${lines.map((line) => `      - ${line}\n`).join("")}`
    const ok = '{ name: m0, address: "127.0.0.1:2379", host: local }'
    const one = (line: string) => mistakes(members(ok, line))
    assert.deepStrictEqual(one('{ name: m1, address: "127.0.0.1:2380", host: local }'), [])
    const at = (key: string) => [`6 clusters.locks.members.1.${key}`]
    // 101 bytes, of letters that have two: no host could keep a record under it.
    const long = `${"ä".repeat(50)}n`
    assert.deepStrictEqual(one(`{ name: "${long}", address: "127.0.0.1:2380" }`), at("name"))
    assert.deepStrictEqual(one(`{ name: "${long.slice(1)}", address: "127.0.0.1:2380" }`), [])
    assert.deepStrictEqual(one('{ name: "m\\n1", address: "127.0.0.1:2380" }'), at("name"))
    assert.deepStrictEqual(one('{ name: "", address: "127.0.0.1:2380" }'), at("name"))
    assert.deepStrictEqual(one('{ name: m1, address: "127.0.0.1:65536" }'), at("address"))
    assert.deepStrictEqual(one('{ name: m1, address: "127.0.0.1:0" }'), at("address"))
    assert.deepStrictEqual(one('{ name: m1, address: "127.0.0.1:2380", host: far }'), at("host"))
    // All at once, whatever else is wrong.
    const both = one('{ name: "", address: "127.0.0.1:2380", host: far }')
    assert.deepStrictEqual(both, [...at("name"), ...at("host")])
    assert.deepStrictEqual(
      mistakes(
        `hosts: { far: { ssh: far } }\n${members(ok, ok.replace("m0", "m1").replace("2379", "2380").replace("local", "far"))}`
      ),
      []
    )
    // A line that was copied for another member, and still names its place.
    const placed = (name: string, port: number, more: string) =>
      `{ name: ${name}, address: "127.0.0.1:${port}", host: local, ${more} }`
    const two = (first: string, second: string) =>
      mistakes(members(placed("m0", 2379, first), placed("m1", 2380, second)))
    assert.deepStrictEqual(two("dataDirectory: /d/etcd", "dataDirectory: /d/etcd/"), at("dataDirectory"))
    assert.deepStrictEqual(two("dataDirectory: /d/0", "dataDirectory: /d/1"), [])
    assert.deepStrictEqual(two("container: etcd", "container: etcd"), at("container"))
    assert.deepStrictEqual(two("container: etcd", "container: etcd, engine: podman"), [])
    const ctr = "container: etcd, engine: containerd"
    assert.deepStrictEqual(two(ctr, `${ctr}, namespace: default`), at("container"))
    assert.deepStrictEqual(two(ctr, `${ctr}, namespace: prod`), [])
    assert.deepStrictEqual(two(ctr, `${ctr}, namespace: a/b`), at("namespace"))
    // What only containerd has, what it has not, and what is another's.
    const own = ["6 clusters.locks.members.1"]
    assert.deepStrictEqual(two(ctr, "container: x, namespace: prod"), own)
    assert.deepStrictEqual(two(ctr, "container: x._y, engine: containerd"), own)
    assert.deepStrictEqual(two(ctr, "compose: { project: p, service: s }, engine: containerd"), own)
    for (const namespace of ["moby", "k8s.io"]) assert.deepStrictEqual(two(ctr, `${ctr}, namespace: ${namespace}`), own)
    const service = "compose: { project: p, service: s }"
    assert.deepStrictEqual(two(service, service), at("compose"))
    // Within containers, directories may well have one name.
    assert.deepStrictEqual(two("container: a, dataDirectory: /d", "container: b, dataDirectory: /d"), [])
    // Two nodes of one name: of members that share a host, and of a host.
    const cluster = (name: string, ...lines: ReadonlyArray<string>) =>
      `  ${name}:\n    system: etcd\n    members:\n${lines.map((line) => `      - ${line}\n`).join("")}`
    const eu = cluster("locks", placed("eu-1", 2379, ""), placed("eu-2", 2380, ""))
    const other = cluster("locks-eu", placed('"1"', 2381, ""), placed('"3"', 2382, ""))
    assert.deepStrictEqual(mistakes(`clusters:\n${eu}${other}`), ["10 clusters.locks-eu.members.0.name"])
    assert.deepStrictEqual(mistakes(`clusters:\n${eu}${other.replace('"1"', '"4"')}`), [])
    const far = "hosts: { locks-m0: { ssh: far } }\n"
    const alone = cluster("more", '{ name: a, address: "127.0.0.2:1", host: locks-m0 }')
    const local = cluster("locks", placed("m0", 2379, ""), placed("m1", 2380, ""))
    assert.deepStrictEqual(mistakes(`${far}clusters:\n${local}${alone}`), ["11 clusters.more.members.0.name"])
    // A host may have members of many clusters, which is what its label is for.
    const beside = cluster("beside", '{ name: b, address: "127.0.0.2:2", host: locks-m0 }')
    assert.deepStrictEqual(mistakes(`${far}clusters:\n${alone}${beside}`), [])
    // An application_name ends after 63 bytes, so this standby would never be found again.
    const standby = (name: string) => `clusters:\n  orders:${postgres.replace("s1", name)}`
    assert.deepStrictEqual(mistakes(standby("s".repeat(64))), ["8 clusters.orders.members.1.name"])
    assert.deepStrictEqual(mistakes(standby("s".repeat(63))), [])
    // PostgreSQL keeps no other characters of a name, and a star stands for every standby.
    assert.deepStrictEqual(mistakes(standby("stand-ü")), ["8 clusters.orders.members.1.name"])
    assert.deepStrictEqual(mistakes(standby('"*"')), ["8 clusters.orders.members.1.name"])
    assert.deepStrictEqual(mistakes(standby('"s 1*"')), [])
  })

  it("tells every mistake with its line and key, all at once", () => {
    const text = [
      "listen: nowhere",
      "store: mysql:/x",
      "limits:",
      "  maxHold: soon",
      "  concurrency: 0",
      "colour: red"
    ].join("\n")
    assert.deepStrictEqual(mistakes(text).sort(), [
      "1 listen",
      "2 store",
      "4 limits.maxHold",
      "5 limits.concurrency",
      "6 colour"
    ])
  })

  it("tells a mistake inside a cluster, also one only its system knows", () => {
    const text = [
      "clusters:",
      "  orders:",
      "    system: postgres",
      "    user: postgres",
      "    database: postgres",
      "    members:",
      "      - { name: p }"
    ].join("\n")
    assert.isTrue(
      mistakes(text).some((mistake) => /^7 clusters\.orders\.members\.0\.address$/.test(mistake)),
      String(mistakes(text))
    )
    assert.deepStrictEqual(mistakes("clusters:\n  orders:\n    system: oracle"), ["3 clusters.orders.system"])
    assert.deepStrictEqual(mistakes(`clusters:\n  "a/b":${postgres}`), ["2 clusters.a/b"])
    assert.isTrue(mistakes(`clusters:\n  orders:${postgres}    membres: []\n`).includes("9 clusters.orders.membres"))
  })

  it("tells where YAML itself ends", () => {
    assert.match(mistakes("clusters:\n  a: [1,\n  b: 2")[0]!, /^\d+ /)
    assert.deepStrictEqual(mistakes("just words").length, 1)
  })

  it("tells a mistake in a flag by the flag's name", () => {
    assert.deepStrictEqual(mistakes("", { listen: "80", store: "pg" }), [
      "0 --listen / INQUORATE_LISTEN",
      "0 --store / INQUORATE_STORE"
    ])
  })

  it("tells the mistakes within a cluster together with those beside it", () => {
    const text = `limits:\n  maxHold: soon\nclusters:\n  orders:${postgres}    maxHold: later\n`
    assert.deepStrictEqual(mistakes(text), ["2 limits.maxHold", "11 clusters.orders.maxHold"])
  })

  it("pairs a cluster with a mechanism, its settings, and the hosts its members name", () => {
    const text = `hosts:\n  node-1: { ssh: me@far, port: 2222 }\nclusters:\n  orders:${postgres.replace('5433" }', '5433", host: node-1 }')}`
    const [plain] = Result.getOrThrow(read(text)).clusters
    assert.deepStrictEqual([plain!.injector.name, plain!.injectorSettings, plain!.hosts], ["pause", null, ["node-1"]])
    const killed = `${text}    injector: kill\n    kill: { members: { s1: { unit: s1.service } } }\n`
    const config = Result.getOrThrow(read(killed))
    assert.deepStrictEqual(config.hosts, { "node-1": { ssh: "me@far", port: 2222 } })
    assert.strictEqual(config.clusters[0]!.injector.name, "kill")
    assert.deepStrictEqual(config.clusters[0]!.injectorSettings, { members: { s1: { unit: "s1.service" } } })
    assert.isNull(config.clusters[0]!.restarter)
  })

  it("takes the kill beside another mechanism, to restart members", () => {
    const cluster = `clusters:\n  orders:${postgres}`
    const restarterOf = (text: string) => Result.getOrThrow(read(text)).clusters[0]!.restarter
    assert.isNull(restarterOf(cluster))
    for (const injector of ["", "    injector: pause\n", "    injector: netfilter\n"]) {
      const restarter = restarterOf(`${cluster}${injector}    kill: {}\n`)
      assert.deepStrictEqual([restarter?.module.name, restarter?.settings], ["kill", {}])
    }
    const named = restarterOf(`${cluster}    kill: { members: { s1: { command: start s1 } } }\n`)
    assert.deepStrictEqual(named?.settings, { members: { s1: { command: "start s1" } } })
  })

  it("leaves the members of a cluster to Patroni, and takes the hosts that are named for them", () => {
    const cluster = (hosts: string) =>
      `clusters:\n  orders:\n    system: postgres\n    user: i\n    database: d\n    kill: { members: { pg9: { unit: a } } }\n    patroni: { api: "http://127.0.0.1:8008", hosts: ${hosts} }\n`
    const [one] = Result.getOrThrow(read(cluster("local"))).clusters
    assert.deepStrictEqual(one!.hosts, ["local"])
    const [two] = Result.getOrThrow(
      read(`hosts: { far: { ssh: far } }\n${cluster("{ pg0: local, pg1: far }")}`)
    ).clusters
    assert.deepStrictEqual(two!.hosts, ["local", "far"])
    assert.deepStrictEqual(mistakes(cluster("nowhere")), ["7 clusters.orders.patroni.hosts"])
    assert.deepStrictEqual(mistakes(cluster("{ pg0: nowhere }")), ["7 clusters.orders.patroni.hosts.pg0"])
    assert.deepStrictEqual(mistakes("clusters:\n  orders:\n    system: postgres\n    user: i\n    database: d\n"), [
      "2 clusters.orders.members"
    ])
  })

  it("tells mistakes about hosts and mechanisms", () => {
    const cluster = `clusters:\n  orders:${postgres}`
    assert.deepStrictEqual(mistakes(`${cluster}    injector: command\n`), ["9 clusters.orders.injector"])
    assert.deepStrictEqual(mistakes(`${cluster}    injector: kill\n    command: { members: {} }\n`), [
      "10 clusters.orders.command"
    ])
    assert.deepStrictEqual(mistakes(`${cluster}    kill: { members: { s9: { unit: a } } }\n`), [
      "9 clusters.orders.kill.members.s9"
    ])
    assert.deepStrictEqual(mistakes(`${cluster}    injector: kill\n    kill: { members: { s9: { unit: a } } }\n`), [
      "10 clusters.orders.kill.members.s9"
    ])
    assert.deepStrictEqual(mistakes("hosts:\n  local: { ssh: x }\n  far: { ssh: -oProxyCommand=x }\n"), [
      "2 hosts.local.ssh",
      "3 hosts.far.ssh"
    ])
    assert.deepStrictEqual(mistakes("hosts:\n  local: { ssh: x, sudo: true }\n  far: { sudo: true }\n"), [
      "2 hosts.local.ssh",
      "3 hosts.far.ssh"
    ])
    const { hosts } = Result.getOrThrow(read("hosts:\n  local: { sudo: true }\n  far: { ssh: me@far, sudo: true }\n"))
    assert.deepStrictEqual(hosts, { local: { sudo: true }, far: { ssh: "me@far", sudo: true } })
  })

  it("takes a Kubernetes cluster as a host, whose pods are the members of a cluster", () => {
    const host = "  prod: { kubernetes: { image: keeper, context: eu } }"
    const cluster = (pods: string) => `  locks:\n    system: etcd\n    pods: ${pods}\n`
    const pods = "{ host: prod, namespace: db, statefulSet: etcd }"
    const config = Result.getOrThrow(read(`hosts:\n${host}\nclusters:\n${cluster(pods)}`))
    assert.deepStrictEqual(config.hosts, { prod: { kubernetes: { image: "keeper", context: "eu" } } })
    assert.deepStrictEqual(config.clusters[0]!.hosts, [])
    assert.deepStrictEqual(
      mistakes(
        `hosts:\n  far: { ssh: far }\n  prod: { port: 22, kubernetes: { image: k } }\n  eu: { kubernetes: {} }\nclusters:\n${cluster(pods.replace("prod", "far"))}`
      ),
      ["3 hosts.prod.port", "4 hosts.eu.kubernetes.image", "8 clusters.locks.pods.host"]
    )
    const member = 'members: [{ name: m0, address: "127.0.0.1:2379", host: prod }]'
    assert.deepStrictEqual(mistakes(`hosts:\n${host}\nclusters:\n  locks:\n    system: etcd\n    ${member}\n`), [
      "6 clusters.locks.members.0.host"
    ])
  })

  it("refuses what can never be done to pods", () => {
    const text = (more: string, host = "") =>
      `hosts:\n  prod: { kubernetes: { image: keeper${host} } }\nclusters:\n  locks:\n    system: etcd\n    pods: { host: prod, namespace: db, statefulSet: etcd }\n    ${more}\n`
    assert.deepStrictEqual(mistakes(text("injector: kill")), ["7 clusters.locks.injector"])
    assert.deepStrictEqual(mistakes(text("kill: {}")), ["7 clusters.locks.kill"])
    assert.deepStrictEqual(mistakes(text("injector: netfilter")), ["7 clusters.locks.injector"])
    assert.isTrue(Result.isSuccess(read(text("injector: netfilter", ", cuts: true"))))
    assert.isTrue(Result.isSuccess(read(text("injector: pause"))))
  })

  it("never prints a secret it was given in place", () => {
    const parsed = read(`clusters:\n  orders:${postgres}    password: hunter2\n`)
    assert.notInclude(Result.isFailure(parsed) ? parsed.failure.message : JSON.stringify(parsed), "hunter2")
  })
})

describe("a shared store", () => {
  it("is named by a URL in file, environment or flag, or by its parts with the secret by reference", () => {
    const url = Result.getOrThrow(read("", { store: "postgres://u:hunter2@db.example:5433/ops" })).store
    assert.strictEqual(
      url._tag === "PostgresUrl" && Redacted.value(url.url),
      "postgres://u:hunter2@db.example:5433/ops"
    )
    const parts =
      "store:\n  postgres: { host: db, database: ops, user: u, password: { env: SECRET }, schema: faults }\n"
    assert.deepStrictEqual(Result.getOrThrow(read(parts)).store, {
      _tag: "Postgres",
      settings: { host: "db", database: "ops", user: "u", password: { env: "SECRET" }, schema: "faults" }
    })
  })

  it("gives each worker of a host a name of its own, since the newest start under a name takes it", () => {
    const named = (listen: string, store: string) => Result.getOrThrow(read("", { listen, store })).workerId
    assert.strictEqual(named("127.0.0.1:19081", "postgres://u@db/ops"), "here:19081")
    assert.strictEqual(named("127.0.0.1:19081", "sqlite:/a"), "here")
  })

  it("is never printed with its secret, not even where it is wrong", () => {
    const url = "postgres://u:hunter2@db/ops"
    const said = [
      JSON.stringify(read("", { store: url })),
      JSON.stringify(read(`store: "${url}"\ncolour: red\n`)),
      ...["mysql://u:hunter2@db/ops", "postgres://u:hunter2@:x:/ops"].flatMap((store) => [
        JSON.stringify(read("", { store })),
        JSON.stringify(read(`store: "${store}"\n`))
      ]),
      JSON.stringify(read("store:\n  postgres: { host: db, database: ops, user: u, password: hunter2 }\n"))
    ]
    for (const text of said) assert.notInclude(text, "hunter2")
    assert.deepStrictEqual(mistakes("store:\n  postgres: { host: db, database: ops, user: u, password: hunter2 }\n"), [
      "2 store.postgres.password"
    ])
  })
})

describe("what is allowed at once", () => {
  it("is one operation on a host, and any number elsewhere", () => {
    const { overall, perCluster, perHost } = Result.getOrThrow(read(""))
    assert.deepStrictEqual([perCluster, perHost, overall], [null, 1, null])
    const told = Result.getOrThrow(read("limits: { perCluster: 2, perHost: 3, overall: 4 }"))
    assert.deepStrictEqual([told.perCluster, told.perHost, told.overall], [2, 3, 4])
  })
})

describe("where to listen", () => {
  it("is a host and a port", () => {
    assert.deepStrictEqual(parseListen("localhost:0"), { host: "localhost", port: 0 })
    assert.deepStrictEqual(parseListen("[::1]:19080"), { host: "::1", port: 19080 })
    for (const wrong of ["", "127.0.0.1", ":80", "a:99999", "::1:80", "a b:1"])
      assert.isUndefined(parseListen(wrong), wrong)
  })
})

describe("who may reach the worker", () => {
  const tls = "tls: { certificate: c, key: k }"
  const certificates = `certificates: { users: { thumbprints: ["${"ab:".repeat(19)}ab"] } }`
  const tokens = "tokens: { keys: k, issuer: i, audience: a }"
  const told = (...keys: ReadonlyArray<string>) => ["security:", ...keys.map((key) => `  ${key}`)].join("\n")

  it("is everyone unless said, and thumbprints are one in every spelling", () => {
    assert.deepStrictEqual(Result.getOrThrow(read("")).security, {})
    const { security } = Result.getOrThrow(read(told(tls, certificates, tokens, "names: [proxy.example:443]")))
    assert.deepStrictEqual(security.certificates?.users?.thumbprints, ["AB".repeat(20)])
    const spelt = ["ab".repeat(20), "AB ".repeat(19) + "AB"].map((text) =>
      read(told(tls, `certificates: { admins: { thumbprints: ["${text}"] } }`))
    )
    for (const one of spelt) {
      assert.deepStrictEqual(Result.getOrThrow(one).security.certificates?.admins?.thumbprints, ["AB".repeat(20)])
    }
  })

  it("is told where its keys do not go together", () => {
    const beyond = { listen: "0.0.0.0:19080" }
    assert.deepStrictEqual(mistakes(told(certificates)), ["2 security.certificates"])
    assert.deepStrictEqual(mistakes(told(tls, "certificates: { ca: x }")), ["3 security.certificates"])
    const named = "certificates: { admins: { subjects: [{ name: alice }] } }"
    assert.deepStrictEqual(mistakes(told(tls, named)), ["3 security.certificates"])
    assert.deepStrictEqual(mistakes(told(tokens)), [])
    assert.deepStrictEqual(mistakes(told(tokens), beyond), ["2 security.tokens"])
    assert.deepStrictEqual(mistakes(told(tls, tokens), beyond), [])
    assert.deepStrictEqual(mistakes(told(tls, tokens, "allowAnonymous: true")), ["4 security.allowAnonymous"])
    assert.deepStrictEqual(mistakes(told("names: [a.example]")), ["2 security.names"])
    assert.deepStrictEqual(mistakes(told("names: [a.example]", "allowAnonymous: true")), [])
  })

  it("may name further names and origins with each kind of authentication, and with none only where told so", () => {
    const both = ["names: [proxy.example]", "origins: ['http://localhost:4200']"]
    for (const kind of [
      [tls, certificates],
      [tokens],
      [tls, tokens],
      [tls, certificates, tokens],
      ["allowAnonymous: true"]
    ]) {
      assert.deepStrictEqual(mistakes(told(...kind, ...both)), [], kind.join())
    }
    assert.deepStrictEqual(mistakes(told(...both)), ["2 security.names", "3 security.origins"])
    for (const wrong of ["localhost:4200", "http://a/b", "file://x", "http://a b"]) {
      assert.deepStrictEqual(mistakes(told(tokens, `origins: ["${wrong}"]`)), ["3 security.origins.0"], wrong)
    }
  })

  it("is told where a value is wrong", () => {
    const wrong = (key: string) => mistakes(told(tls, key)).map((mistake) => mistake.slice(2))
    assert.deepStrictEqual(wrong('certificates: { users: { thumbprints: ["\u200eab"] } }'), [
      "security.certificates.users.thumbprints.0"
    ])
    assert.deepStrictEqual(wrong("names: ['https://a']"), ["security.names.0"])
    assert.deepStrictEqual(wrong("tokens: { keys: k, issuer: i }"), ["security.tokens.audience"])
    assert.deepStrictEqual(mistakes(told("tls: { certificate: c }")), ["2 security.tls.key"])
  })

  it("is only this machine at an address of loopback", () => {
    for (const host of ["127.0.0.1", "127.1.2.3", "localhost", "::1"]) assert.isTrue(isLoopback(host), host)
    for (const host of ["0.0.0.0", "::", "127.evil.example", "localhost.example", "10.0.0.1"]) {
      assert.isFalse(isLoopback(host), host)
    }
  })
})

describe("what YAML takes for something else", () => {
  const problems = (text: string): ReadonlyArray<string> => {
    const parsed = read(text)
    return Result.isFailure(parsed)
      ? parsed.failure.mistakes.map(({ key, line, problem }) => `${line} ${key}: ${problem}`)
      : []
  }
  const locks = (...lines: ReadonlyArray<string>) =>
    `clusters:\n  locks:\n    system: etcd\n    user: u\n${lines.map((line) => `    ${line}\n`).join("")}    members: [{ name: m0, address: "127.0.0.1:2379" }]\n`

  it("is a password that a # cuts short, wherever there is one", () => {
    const [mistake, ...more] = problems(locks("password: hunter #2"))
    assert.match(mistake ?? "", /^5 clusters\.locks\.password: the text ends before the #/)
    assert.deepStrictEqual(more, [])
    assert.lengthOf(problems(locks("password: 1234 #5")), 2)
    assert.lengthOf(problems("store: postgres://u@h/d #x"), 1)
    assert.deepStrictEqual(problems(locks("password: 'hunter #2' # ours")), [])
    assert.deepStrictEqual(problems(locks("password: hunter#2")), [])
    assert.deepStrictEqual(problems(locks("# a word", "password: { env: A } # a word")), [])
    assert.deepStrictEqual(problems("limits: { maxHold: 5s } # short\n"), [])
  })

  it("is a variable that nobody fills in, but for commands, whose shell does", () => {
    assert.match(problems(locks("password: ${PW}"))[0] ?? "", /give \{ env: PW \}$/)
    assert.match(problems(locks("password: $PW"))[0] ?? "", /give \{ env: PW \}$/)
    assert.match(problems("worker: { id: '${HOSTNAME}' }")[0] ?? "", /^1 worker\.id: .*write the value itself$/)
    assert.deepStrictEqual(problems(locks("password: 'a$b'")), [])
    const witness = "witnesses: [{ name: shop, command: 'curl ${SHOP}/cart' }]"
    assert.deepStrictEqual(problems(locks("password: { env: A }", witness)), [])
  })

  it("is unwise where a secret stands in the file itself, and then it is no mistake", () => {
    const warned = (text: string) => Result.getOrThrow(read(text)).warnings.map(({ key, line }) => `${line} ${key}`)
    assert.deepStrictEqual(warned(locks("password: hunter2")), ["5 clusters.locks.password"])
    assert.deepStrictEqual(warned(locks("password: { file: /secret }")), [])
    assert.deepStrictEqual(warned("store: postgres://u:p@h/d"), ["1 store"])
    assert.deepStrictEqual(warned("store: postgres://u@h/d"), [])
  })

  it("is no length where it is 0", () => {
    for (const length of ["0", "0s", "0ms", "0.0001ms"]) {
      assert.deepStrictEqual(mistakes(`limits: { maxHold: ${length} }`), ["1 limits.maxHold"], length)
    }
    assert.strictEqual(Result.getOrThrow(read("limits: { maxHold: 10m30s }")).maxHold, 630_000)
  })

  it("never repeats what was given for a password", () => {
    assert.notInclude(problems(locks("password: [hunter2]")).join("\n"), "hunter2")
    assert.notInclude(problems(locks("password: { en: hunter2 }")).join("\n"), "hunter2")
    assert.notInclude(problems(locks("password: 4711")).join("\n"), "4711")
  })
})
