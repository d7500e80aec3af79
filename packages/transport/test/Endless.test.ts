/**
 * A worker, or whoever answers in its place, that never stops sending: body, head, information, a line of an event. Each
 * call ends within its bounds, over Node's client, and memory does not grow with what is sent; a browser's is asked once.
 */
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as NodeClient from "../src/client/NodeClient.ts"
import { endsOver, isQuick } from "./EndlessAnswers.ts"

endsOver("Node's client", NodeClient.layer({}))
endsOver("fetch", FetchHttpClient.layer, isQuick)
