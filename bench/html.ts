import type { Measurement } from './measurement.js';
export const htmlPage = (m: readonly Measurement[]) => String(m.length);
