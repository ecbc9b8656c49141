/** Callboard's public face: the registries, the contract's validators and types, and the server. */
export type * from './contract/types.js';
export { validateDispatchPayload, validateEventEnvelope, validateRegisterPayload } from './contract/validate.js';
export { type AsyncExecutorRegistry, createRegistry, type RegistryOptions } from './registry/async-registry.js';
export { ExecutorRegistry, type ExecutorRegistryOptions, executorRegistry } from './registry/executor-registry.js';
export { resolveExecutorIdentityStorePath } from './registry/identity-path.js';
export { type CallboardServer, createServer, type ServerOptions } from './server/index.js';
export { StorageError } from './store/storage-error.js';
