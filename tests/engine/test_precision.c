/* test_precision.c: the rules of a precision policy: their patterns, their text, and what they make of layers as files have them. */
#include "engine/layers/precision_report.h"
#include "tests/model.h"

static void test_precision_patterns(void **state)
{
    static const struct {
        const char *pattern;
        const char *yes[6], *no[6];
    } cases[] = {
        {"blocks.0.attn1.to_q",
         {"blocks.0.attn1.to_q"},
         {"blocks.0.attn1.to_k", "blocks.0.attn1.to_q.x", "xblocks.0.attn1.to_q", "", "blocks.0"}},
        {"*", {"", "a", "blocks.3.ffn.net.2"}, {0}},
        {"blocks.*", {"blocks.0.a", "blocks."}, {"blocks", "vace_blocks.0.a"}},
        {"blocks.1.*", {"blocks.1.a"}, {"blocks.10.a", "blocks.1", "blocks.11.a"}},
        {"blocks.1*", {"blocks.1", "blocks.10.a", "blocks.1.a"}, {"blocks.2.a"}},
        {"*.ffn.*", {"blocks.0.ffn.net.2", "a.b.ffn."}, {"ffn.net.2", "blocks.0.ffn"}},
        {"*ffn*net*2",
         {"blocks.0.ffn.net.2", "ffnnet2", "ffn.net.22"},
         {"ffn.net.20", "net.ffn.2"}},
        {"*.to_out.0", {"blocks.0.attn1.to_out.0"}, {"blocks.0.attn1.to_out.00", "to_out.0"}},
        {"blocks.0-3.*",
         {"blocks.0.a", "blocks.3.b.c", "blocks.2."},
         {"blocks.4.a", "blocks.30.a", "blocks.0-3.a", "blocks.a.b", "blocks..a"}},
        {"blocks.8-.x", {"blocks.8.x", "blocks.399.x"}, {"blocks.7.x", "blocks.1234567890.x"}},
        {"*.10-12", {"a.10", "a.b.12", "a.3.11"}, {"a.9", "a.112", "10"}},
        {"0-3", {"0", "3", "02"}, {"4", "", "0.1"}},
        {"*.1-2.*.3-4", {"a.1.b.3", "a.9.1.2.4"}, {"a.1.b.5", "1.b.3", "a.3.b.3"}},
        {"layer-2.x", {"layer-2.x"}, {"layer-1.x"}},
        {"**a**", {"a", "bab"}, {"b"}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int j = 0; j < 6 && cases[i].yes[j]; j++)
            if (!vg_layer_pattern_match(cases[i].pattern, cases[i].yes[j]))
                fail_msg("%s does not match \"%s\"", cases[i].pattern, cases[i].yes[j]);
        for (int j = 0; j < 6 && cases[i].no[j]; j++)
            if (vg_layer_pattern_match(cases[i].pattern, cases[i].no[j]))
                fail_msg("%s matches \"%s\"", cases[i].pattern, cases[i].no[j]);
    }
}

static void test_precision_pattern_of_many_stars_is_quick(void **state)
{
    char pattern[201], name[4001];
    (void)state;
    for (int i = 0; i < 200; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[200] = '\0';
    memset(name, 'a', sizeof name - 1);
    name[4000] = '\0';
    name[3999] = 'b';
    assert_false(vg_layer_pattern_match(pattern, name));
}

static void test_precision_text_is_checked(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"blocks.0", "\"blocks.0\": a rule is PATTERN=PRECISION"},
        {"=bf16", "\"=bf16\": the name of a layer"},
        {"a=fp9",
         "unknown precision \"fp9\"; there are bf16, fp8, fp8-block, fp8-channel and stored"},
        {"a=", "unknown precision \"\""},
        {"a=fp8:often", "unknown inputs \"often\"; there are static, dynamic and weight-only"},
        {"a=fp8:", "unknown inputs \"\""},
        {"a=bf16:static", "FP8 layers only"},
        {"a=fp8-block:static", "per-block inputs are dynamic"},
        {"a b=bf16", "letters, digits"},
        {"a.b/c/d=bf16", "letters, digits"},
        {"/a=bf16", "missing in front"},
        {"t/=bf16", "missing in front"},
        {"blocks.5-2.*=bf16", "a range of numbers goes upwards"},
        {"a=bf16,,b=bf16", "a rule is empty"},
        {"a=bf16, ", "a rule is empty"},
        {"a=bf16,", "behind the last comma"},
        {",", "a rule is empty"},
        {"a=bf16\x1b[2J", "unknown precision"},
    };
    vg_err err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vg_precision_policy p = {.scheme = VG_SCHEME_FP8};
        CHECK_OK(vg_precision_policy_add(&p, "x=bf16", &err), err);
        CHECK_FAILS(vg_precision_policy_add(&p, cases[i].text, &err), VG_E_ARG, err);
        if (!strstr(err.message, cases[i].says) || strchr(err.message, '\n'))
            fail_msg("\"%s\": \"%s\" does not say \"%s\"", cases[i].text, err.message,
                     cases[i].says);
        assert_int_equal(p.count, 1); /* as before */
        vg_precision_policy_deinit(&p);
    }
}

static void test_precision_last_rule_decides(void **state)
{
    vg_err err;
    vg_precision_policy p = {.scheme = VG_SCHEME_FP8};
    (void)state;
    CHECK_OK(vg_precision_policy_add(&p, NULL, &err), err);
    CHECK_OK(vg_precision_policy_add(&p, "", &err), err);
    assert_null(vg_precision_policy_find(&p, "transformer", "blocks.0.ffn.net.2"));
    CHECK_OK(vg_precision_policy_add(
                 &p,
                 " *.ffn.*=fp8-block:weight-only ,blocks.0-1.*=bf16, transformer_2/*.ffn.*=stored",
                 &err),
             err);
    CHECK_OK(vg_precision_policy_add(&p, "blocks.1.ffn.net.2=fp8:static", &err), err);
    const struct {
        const char *component, *layer;
        int rule; /* -1: none */
    } cases[] = {
        {"transformer", "blocks.2.ffn.net.2", 0},    {"transformer", "blocks.0.ffn.net.2", 1},
        {"transformer_2", "blocks.0.ffn.net.2", 2},  {"transformer_2", "blocks.1.ffn.net.2", 3},
        {"transformer_2", "blocks.1.attn1.to_q", 1}, {"transformer", "blocks.2.attn1.to_q", -1},
    };
    assert_int_equal(p.count, 4);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_ptr_equal(vg_precision_policy_find(&p, cases[i].component, cases[i].layer),
                         cases[i].rule < 0 ? NULL : &p.rules[cases[i].rule]);
    assert_string_equal(p.rules[0].text, "*.ffn.*=fp8-block:weight-only");
    assert_true(p.rules[0].precision == VG_PRECISION_BLOCK &&
                p.rules[0].inputs == VG_FP8_ACT_WEIGHT_ONLY);
    assert_true(p.rules[2].precision == VG_PRECISION_STORED &&
                p.rules[2].inputs == VG_INPUTS_DEFAULT);
    assert_true(p.rules[3].precision == VG_PRECISION_TENSOR &&
                p.rules[3].inputs == VG_FP8_ACT_STATIC);
    vg_precision_policy_deinit(&p);
}

/* --ignore-layers NAME of other programs: exact, and everything below a module of that name. */
static void test_precision_can_ignore_layers(void **state)
{
    vg_err err;
    vg_precision_policy p = {.scheme = VG_SCHEME_FP8};
    (void)state;
    CHECK_OK(vg_precision_policy_add(&p, "blocks.1=bf16,blocks.1.*=bf16,a.to_q=bf16,a.to_q.*=bf16",
                                     &err),
             err);
    assert_non_null(vg_precision_policy_find(&p, "t", "blocks.1.ffn.net.2"));
    assert_non_null(vg_precision_policy_find(&p, "t", "a.to_q"));
    assert_null(vg_precision_policy_find(&p, "t", "blocks.10.ffn.net.2"));
    assert_null(vg_precision_policy_find(&p, "t", "a.to_q2"));
    vg_precision_policy_deinit(&p);
}

/* ---- what rules make of layers ---- */

enum { DIM = 1 };

static const vg_weight_row rows[] = {
    {.name = "high", .kind = VG_WEIGHT_LINEAR, .shape = {DIM, DIM}, .flags = VG_WEIGHT_QUANTISABLE},
    {.name = "kept", .kind = VG_WEIGHT_LINEAR, .shape = {DIM, DIM}},
    {.name = "tensor",
     .kind = VG_WEIGHT_LINEAR,
     .shape = {DIM, DIM},
     .flags = VG_WEIGHT_QUANTISABLE},
    {.name = "channel",
     .kind = VG_WEIGHT_LINEAR,
     .shape = {DIM, DIM},
     .flags = VG_WEIGHT_QUANTISABLE},
    {.name = "block",
     .kind = VG_WEIGHT_LINEAR,
     .shape = {DIM, DIM},
     .flags = VG_WEIGHT_QUANTISABLE},
};

static void write_layers(void **state, bool fp8, vg_weights **weights)
{
    static uint16_t high[4];
    static uint8_t codes[4];
    static float scales[2] = {1, 1};
    vg_err err;
    vg_tensor w = vg_tensor_make(codes, VG_E4M3, 2, 2, 2),
              plain = vg_tensor_make(high, VG_BF16, 2, 2, 2),
              bias = vg_tensor_make(high, VG_BF16, 1, 2), one = vg_tensor_make(scales, VG_F32, 0),
              two = vg_tensor_make(scales, VG_F32, 1, 2),
              block = vg_tensor_make(scales, VG_F32, 4, 1, 1, 1, 1);
    const vg_safetensors_entry entries[] = {
        {"high.weight", plain},
        {"high.bias", bias},
        {"kept.weight", plain},
        {"kept.bias", bias},
        {"tensor.weight", fp8 ? w : plain},
        {"tensor.bias", bias},
        {"channel.weight", fp8 ? w : plain},
        {"channel.bias", bias},
        {"block.weight", fp8 ? w : plain},
        {"block.bias", bias},
        {"tensor.weight_scale", one},
        {"tensor.input_scale", one},
        {"channel.weight_scale", two},
        {"channel.input_scale", one},
        {"block.weight_scale", block},
    };
    CHECK_OK(vg_safetensors_write(scratch_path(state, "model.safetensors"), entries, fp8 ? 15 : 10,
                                  NULL, &err),
             err);
    CHECK_OK(vg_weights_open(*state, weights, &err), err);
}

static void test_precision_rules_choose_layers(void **state)
{
    static const struct {
        bool fp8; /* the files */
        int scheme;
        vg_fp8_act inputs;
        const char *rules, *wanted; /* "!": refused, with these words */
    } cases[] = {
        /* Files in high precision. */
        {false, VG_SCHEME_AUTO, VG_FP8_ACT_STATIC, "", "5 BF16"},
        {false, VG_SCHEME_BF16, VG_FP8_ACT_STATIC, "", "5 BF16"},
        {false, VG_SCHEME_FP8, VG_FP8_ACT_STATIC, "", "4 FP8 per-tensor (static), 1 BF16"},
        {false, VG_SCHEME_FP8_BLOCK, VG_FP8_ACT_STATIC, "",
         "4 FP8 per-block (dynamic 1x128), 1 BF16"},
        {false, VG_SCHEME_FP8_BLOCK, VG_FP8_ACT_WEIGHT_ONLY, "",
         "4 FP8 per-block (weight-only), 1 BF16"},
        {false, VG_SCHEME_BF16, VG_FP8_ACT_DYNAMIC, "high=fp8,block=fp8-block",
         "1 FP8 per-tensor (dynamic), 1 FP8 per-block (dynamic 1x128), 3 BF16"},
        {false, VG_SCHEME_FP8, VG_FP8_ACT_STATIC, "high=bf16,t*=fp8:dynamic,channel=stored",
         "2 FP8 per-tensor (static, dynamic), 3 BF16"},
        {false, VG_SCHEME_FP8, VG_FP8_ACT_DYNAMIC, "*=fp8:weight-only,other/high=bf16",
         "4 FP8 per-tensor (weight-only), 1 BF16"},
        {false, VG_SCHEME_FP8, VG_FP8_ACT_DYNAMIC, "par*/high=bf16",
         "3 FP8 per-tensor (dynamic), 2 BF16"},
        {false, VG_SCHEME_FP8, VG_FP8_ACT_DYNAMIC, "high=fp8-channel",
         "!precision \"high=fp8-channel\" was asked for, but layer high of part is not stored so"},
        /* Files in FP8. */
        {true, VG_SCHEME_AUTO, VG_FP8_ACT_STATIC, "",
         "1 FP8 per-tensor (static), 1 FP8 per-block (dynamic 1x128), 1 FP8 per-channel (static), 2 BF16"},
        {true, VG_SCHEME_BF16, VG_FP8_ACT_STATIC, "", "5 BF16; 3 dequantised from FP8"},
        {true, VG_SCHEME_BF16, VG_FP8_ACT_STATIC, "block=stored",
         "1 FP8 per-block (dynamic 1x128), 4 BF16; 2 dequantised from FP8"},
        {true, VG_SCHEME_FP8, VG_FP8_ACT_STATIC, "",
         "!scheme fp8 was asked for, but part holds FP8 per-block weights (layer block)"},
        {true, VG_SCHEME_FP8, VG_FP8_ACT_DYNAMIC, "block=bf16",
         "1 FP8 per-tensor (static), 1 FP8 per-channel (static), 3 BF16; 1 dequantised from FP8"},
        {true, VG_SCHEME_FP8, VG_FP8_ACT_WEIGHT_ONLY, "block=stored",
         "1 FP8 per-tensor (weight-only), 1 FP8 per-block (weight-only), 1 FP8 per-channel (weight-only), 2 BF16"},
        {true, VG_SCHEME_FP8, VG_FP8_ACT_STATIC, "block=bf16,tensor=fp8:dynamic,high=fp8",
         "2 FP8 per-tensor (static, dynamic), 1 FP8 per-channel (static), 2 BF16; 1 dequantised from FP8"},
        {true, VG_SCHEME_AUTO, VG_FP8_ACT_STATIC, "tensor=fp8-block",
         "!precision \"tensor=fp8-block\" was asked for, but part holds FP8 per-tensor weights (layer tensor)"},
        {true, VG_SCHEME_AUTO, VG_FP8_ACT_STATIC, "channel=fp8",
         "!precision \"channel=fp8\" was asked for, but part holds FP8 per-channel weights (layer channel)"},
        {true, VG_SCHEME_AUTO, VG_FP8_ACT_STATIC, "channel=fp8-channel,kept=fp8",
         "1 FP8 per-tensor (static), 1 FP8 per-block (dynamic 1x128), 1 FP8 per-channel (static), 2 BF16"},
        {true, VG_SCHEME_AUTO, VG_FP8_ACT_DYNAMIC, "block=stored:static",
         "!precision \"block=stored:static\" was asked for, but part has no static input scale for layer block"},
    };
    vg_err err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vg_weight_table table = {.component = "part"};
        vg_weights *weights;
        vg_precision_report report = {0};
        char text[256];
        vg_precision_policy policy = {.scheme = cases[i].scheme, .inputs = cases[i].inputs};
        vg_module_options options = {.compute = VG_BF16, .policy = &policy};
        write_layers(state, cases[i].fp8, &weights);
        CHECK_OK(vg_weight_table_add(
                     &table,
                     &(vg_weight_list){.count = 1, .rows = rows, .rows_count = 5, .dims = {0, 2}},
                     &err),
                 err);
        CHECK_OK(vg_precision_policy_add(&policy, cases[i].rules, &err), err);
        vg_status status = vg_precision_report_add(&report, &table, weights, &options, &err);
        if (cases[i].wanted[0] == '!') {
            assert_int_equal(status, VG_E_UNSUPPORTED);
            assert_non_null(strstr(err.message, cases[i].wanted + 1));
        } else {
            CHECK_OK(status, err);
            assert_string_equal(vg_precision_report_text(&report, text, sizeof text),
                                cases[i].wanted);
        }
        vg_precision_policy_deinit(&policy);
        vg_weight_table_deinit(&table);
        vg_weights_close(weights);
    }
}

static void test_precision_report_tells_inputs_and_scales(void **state)
{
    vg_precision_report r = {0};
    char text[64], small[12];
    (void)state;
    assert_string_equal(vg_precision_report_inputs(&r, text, sizeof text), "-");
    assert_string_equal(vg_precision_report_text(&r, text, sizeof text), "");
    r.layers[VG_PRECISION_TENSOR] = 400;
    r.inputs[VG_PRECISION_TENSOR] = 1u << VG_QUANT_TENSOR_STATIC | 1u << VG_QUANT_NONE;
    r.inputs[VG_PRECISION_BLOCK] = 1u << VG_QUANT_GROUP_DYNAMIC;
    assert_string_equal(vg_precision_report_inputs(&r, text, sizeof text),
                        "weight-only, static, dynamic 1x128");
    assert_int_equal(strlen(vg_precision_report_text(&r, small, sizeof small)), sizeof small - 1);
}

/* A rule that says nothing about any layer is a mistake that can be told. */
static void test_precision_rules_are_used(void **state)
{
    vg_err err;
    vg_weight_table table = {.component = "part"};
    vg_precision_policy p = {.scheme = VG_SCHEME_FP8};
    bool used[6] = {false};
    const bool wanted[6] = {true, false, false, true, false, true};
    (void)state;
    CHECK_OK(vg_weight_table_add(
                 &table,
                 &(vg_weight_list){.count = 1, .rows = rows, .rows_count = 5, .dims = {0, 2}},
                 &err),
             err);
    CHECK_OK(vg_precision_policy_add(
                 &p, "high=fp8,kept=fp8,hihg=bf16,kept=bf16,other/high=bf16,p*/high=stored", &err),
             err);
    vg_precision_policy_use(&p, &table, used);
    for (int i = 0; i < 6; i++)
        if (used[i] != wanted[i])
            fail_msg("%s", p.rules[i].text);
    vg_precision_policy_deinit(&p);
    vg_weight_table_deinit(&table);
}

/* A name to ignore is that very layer and all below it, wherever numbers or names go on. */
static void test_precision_ignored_names_are_exact_or_above(void **state)
{
    (void)state;
    static const struct {
        const char *names, *layer;
        bool found;
    } cases[] = {
        {"blocks.1", "blocks.1", true},
        {"blocks.1", "blocks.1.attn1.to_q", true},
        {"blocks.1", "blocks.10.attn1.to_q", false},
        {"blocks.1", "vace_blocks.1.attn1.to_q", false},
        {"proj_out", "proj_out", true},
        {"proj_out", "vace_blocks.0.proj_out", false},
        {"*.proj_out", "vace_blocks.0.proj_out", true},
        {"blocks.0-1,*.ffn", "blocks.7.ffn.net.2", true},
        {"blocks.0-1,*.ffn", "blocks.1.attn2.to_k", true},
        {"blocks.0-1,*.ffn", "blocks.2.attn2.to_k", false},
        {"transformer_2/blocks.0", "blocks.0.attn1.to_q", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vg_precision_policy p = {.scheme = VG_SCHEME_FP8};
        vg_err err = {0};
        CHECK_OK(vg_precision_policy_ignore(&p, cases[i].names, &err), err);
        const vg_precision_rule *rule = vg_precision_policy_find(&p, "transformer", cases[i].layer);
        if ((rule != NULL) != cases[i].found)
            fail_msg("%s, %s", cases[i].names, cases[i].layer);
        if (rule)
            assert_int_equal(rule->precision, VG_PRECISION_HIGH);
        vg_precision_policy_deinit(&p);
    }
    vg_precision_policy p = {.scheme = VG_SCHEME_FP8};
    vg_err err = {0};
    CHECK_FAILS(vg_precision_policy_ignore(&p, "blocks.0=bf16", &err), VG_E_ARG, err);
    CHECK_FAILS(vg_precision_policy_ignore(&p, "a,,b", &err), VG_E_ARG, err);
    CHECK_OK(vg_precision_policy_ignore(&p, NULL, &err), err);
    assert_int_equal(p.count, 0);
    vg_precision_policy_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precision_patterns),
        cmocka_unit_test(test_precision_pattern_of_many_stars_is_quick),
        cmocka_unit_test(test_precision_text_is_checked),
        cmocka_unit_test(test_precision_last_rule_decides),
        cmocka_unit_test(test_precision_can_ignore_layers),
        cmocka_unit_test_setup_teardown(test_precision_rules_choose_layers, scratch_open,
                                        scratch_close),
        cmocka_unit_test(test_precision_report_tells_inputs_and_scales),
        cmocka_unit_test(test_precision_ignored_names_are_exact_or_above),
        cmocka_unit_test(test_precision_rules_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
