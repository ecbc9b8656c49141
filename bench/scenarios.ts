/** The scenarios of the bench, in the order in which its help shows them and `all` runs them. */
import { actorPingpong } from './actor-pingpong.js';
import { actorSkynet } from './actor-skynet.js';
import { actorSpawn } from './actor-spawn.js';
import { ingest } from './ingest.js';
import { ingestSmall } from './ingest-small.js';
import { lane } from './lane.js';
import { latency } from './latency.js';
import { lifecycle } from './lifecycle.js';
import { missions } from './mission-memory.js';
import { pick } from './pick.js';
import { recovery } from './recovery.js';
import { register } from './register.js';
import { restUnderLoad } from './rest-under-load.js';
import type { Scenario } from './scenario.js';
import { soak } from './soak.js';

export const scenarios: readonly Scenario[] = [
  ingest,
  ingestSmall,
  lifecycle,
  latency,
  restUnderLoad,
  register,
  pick,
  missions,
  recovery,
  soak,
  actorPingpong,
  actorSkynet,
  actorSpawn,
  lane,
];
