/* budget.h: may a stage begin? Its plan against the memory there is; its region taken, or an error that says what would fit. */
#ifndef VG_ENGINE_RUN_BUDGET_H
#define VG_ENGINE_RUN_BUDGET_H

#include "engine/run/model.h"

/* Bytes that stages may take on the engine's device: params->memory_limit, else what is free now less 1 GiB; 0 = no limit (a backend that
 * reads host memory, and no limit asked for). Makes the backend keep to it. */
vg_status vg_budget_limit(vg_engine *engine, const vg_generate_params *params, size_t *limit,
                          vg_err *err);

/* Can this machine hold what a run of these settings ends with, whatever happens on the way? Told from the sizes alone, so that what is far
 * too large need not be planned to be refused. VG_E_ARG names the sizes. params: with defaults filled in. */
vg_status vg_budget_check_size(const vg_generate_params *params, vg_err *err);

/* Would the named stages (NULL-terminated) fit, as things are now? For refusing a job before its first stage. Errors as vg_budget_begin. */
vg_status vg_budget_check(vg_engine *engine, const vg_model *model,
                          const vg_generate_params *params, const char *const *stages, vg_err *err);

/* Plan the named stages (of vg_plan_make; NULL-terminated) and take one region for the largest. *plan: how the run has to behave to fit.
 * VG_E_NOMEM, before anything is taken: names the stage, what it wants, what is there, and a setting that would fit, if there is one.
 * A second begin without an end in between keeps what is in use. */
vg_status vg_budget_begin(vg_engine *engine, const vg_model *model,
                          const vg_generate_params *params, const char *const *stages,
                          vg_plan *plan, vg_err *err);
/* Give the region back; status: how the stage ended. A VG_E_NOMEM gets the stage's name and what would fit. Returns status. */
vg_status vg_budget_end(vg_engine *engine, const vg_model *model, const vg_generate_params *params,
                        const char *stage, vg_status status, vg_err *err);
#endif
