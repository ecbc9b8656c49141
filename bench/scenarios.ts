/** The scenarios of the bench, in the order in which its help shows them and `all` runs them. */
import { ingest } from './ingest.js';
import type { Scenario } from './scenario.js';

export const scenarios: readonly Scenario[] = [ingest];
