/* precision_policy.h: in which precision each linear layer of a component runs: a scheme for all of them, and rules on top of it.
 *
 * Rules are written as text (the setting `precision`, a preset, a flag):
 *
 *   blocks.0-3.*=bf16, *.ffn.*=fp8-block, transformer_2/blocks.38-.*=fp8:dynamic
 *
 *   RULE       [COMPONENT/]PATTERN=PRECISION[:INPUTS]; rules are separated by commas, blanks around them do not count
 *   PATTERN    is compared with the whole name of a layer ("blocks.0.attn1.to_q", without ".weight"): '*' stands for any characters, dots
 *              and none at all included; between two dots (or at an end) N-M and N- stand for one whole number from N to M, or from N on;
 *              everything else stands for itself. So `blocks.1` is that very layer and not those below it, which are `blocks.1.*`
 *              (a name to ignore, vg_precision_policy_ignore, is both)
 *   COMPONENT  a pattern of the same kind over folder names ("transformer_2"); without one the rule is for all
 *   PRECISION  bf16: as computed (the compute dtype), FP8 weights of the files are dequantised
 *              fp8, fp8-block: E4M3 with one scale, or with 128x128 blocks; made at load from weights of higher precision
 *              fp8-channel: E4M3 with a scale per output row; only where the files have it
 *              stored: as the files have it
 *   INPUTS     static, dynamic, weight-only: how the layer's inputs are quantised; without it as `fp8_act` says, and in layers that the
 *              files have in FP8 as those say. Per-block inputs are dynamic, in groups of 128, or weight-only.
 *
 * **The last rule that matches a layer decides it**, so that rules on the right, and those of a later source (checkpoint, preset, flag),
 * change what those before them said. A layer that no rule matches runs as the scheme says, and there the tensors of the files come first:
 * a checkpoint that is FP8 keeps the layers in high precision that it has so, and a scheme that its weights contradict is refused. A rule
 * that asks for FP8 is obeyed in such a checkpoint, too; one whose layer is stored in another kind of FP8 is refused.
 * Only layers that a weight table calls quantisable are made FP8, whatever the rules say. */
#ifndef VG_ENGINE_LAYERS_PRECISION_POLICY_H
#define VG_ENGINE_LAYERS_PRECISION_POLICY_H

#include "engine/layers/linear.h"
#include "engine/layers/weight_table.h"

#define VG_SCHEME_AUTO      (-1) /* the checkpoint's own precision */
#define VG_PRECISION_STORED (-1) /* of a rule: as the files have it */
#define VG_INPUTS_DEFAULT   (-1) /* of a rule: as the policy says */

typedef struct vg_precision_rule {
    char *text;              /* as written, without blanks around it */
    char *component, *layer; /* patterns; component: NULL for all */
    int precision;           /* vg_precision or VG_PRECISION_STORED */
    int inputs;              /* vg_fp8_act or VG_INPUTS_DEFAULT */
    bool below;              /* what lies below the name as well: "NAME" and "NAME.*" */
} vg_precision_rule;

typedef struct vg_precision_policy {
    int scheme;        /* vg_scheme or VG_SCHEME_AUTO, for layers that no rule matches */
    vg_fp8_act inputs; /* of FP8 layers */
    vg_precision_rule *rules;
    int count;
} vg_precision_policy; /* {.scheme, .inputs} is one without rules, and needs no deinit */

/* Add rules behind those there are. NULL and "" add none. Errors: VG_E_ARG, one line with the rule and what is right; the policy is as before. */
vg_status vg_precision_policy_add(vg_precision_policy *policy, const char *text, vg_err *err);
/* A rule NAME=bf16 for each of a comma list of names, behind those there are: of the layer of this name, and of all below it ("blocks.1" is
 * blocks.1.attn1.to_q, never blocks.10). Patterns as in rules. NULL and "" add none. Errors as above. */
vg_status vg_precision_policy_ignore(vg_precision_policy *policy, const char *names, vg_err *err);
/* Free the rules; scheme and inputs stay. */
void vg_precision_policy_deinit(vg_precision_policy *policy);

/* The rule that decides a layer; NULL: the scheme does. */
const vg_precision_rule *vg_precision_policy_find(const vg_precision_policy *policy,
                                                  const char *component, const char *layer);
/* Set used[i] for each rule that has something to say about a layer of this component: matches one, and, where it asks for FP8, one that
 * may become it. used: count entries. A rule that is nowhere used is a mistake. */
void vg_precision_policy_use(const vg_precision_policy *policy, const vg_weight_table *table,
                             bool *used);
/* Does a pattern match a name? Tests: test_precision. */
bool vg_layer_pattern_match(const char *pattern, const char *name);

/* The precision that a scheme gives weights. */
vg_precision vg_scheme_precision(vg_scheme scheme);
/* "fp8-block": as rules write it. */
const char *vg_precision_name(int precision);
#endif
