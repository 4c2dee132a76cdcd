//! Nodes on the wire: what is decoded shows and answers the same.

use std::sync::Arc;

use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use quickdb_executor::codec::QuickdbCodec;

use crate::data;
use crate::harness::{Harness, text_of};

async fn check(harness: &Harness, sql: &str) {
    let plan = harness.plan(sql).await;
    let bytes = physical_plan_to_bytes_with_extension_codec(Arc::clone(&plan), &QuickdbCodec).unwrap();
    let context = harness.sharded.task_ctx();
    let decoded = physical_plan_from_bytes_with_extension_codec(&bytes, &context, &QuickdbCodec).unwrap();
    let show = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(false).to_string();
    assert_eq!(show(&decoded), show(&plan), "{sql}");
    let expected = text_of(&collect(plan, Arc::clone(&context)).await.unwrap());
    assert_eq!(text_of(&collect(decoded, context).await.unwrap()), expected, "{sql}");
}

#[tokio::test(flavor = "multi_thread")]
async fn decoded_plans_show_and_answer_the_same() {
    let harness = Harness::new(data::schema(), vec![data::rows(0, 70_000), data::rows(70_000, 1_000)]);
    for sql in [
        "select * from t where id < 100",
        "select 1 from t where nword like 'a%' limit 4",
        "select count(*), sum(price), min(nword), max(instant) from t where small > 3",
        "select nword, count(*) filter (where nflag), avg(real + 1), median(small) from t where id > 5 group by nword",
        "select small + 1, upper(nword), stddev(ndouble) from t group by 1, 2",
        "select name, many, count(*) from t group by name, many having count(*) > 1",
        "select id from t order by clock desc, id limit 20",
    ] {
        check(&harness, sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_are_refused() {
    let harness = Harness::new(data::schema(), vec![]);
    let converter = datafusion_proto::physical_plan::DefaultPhysicalProtoConverter {};
    use datafusion_proto::physical_plan::PhysicalExtensionCodec;
    for bytes in [&[][..], &[1, 2, 3], &[0x0a, 0x00], &[0x12, 0x00]] {
        assert!(QuickdbCodec.try_decode(bytes, &[], &harness.sharded.task_ctx(), &converter).is_err());
    }
}
